import { afterAll, beforeAll, expect, test } from 'vitest';
import type { PoolAnswer } from '../../src/activities/activities.ts';
import { askPool } from '../../src/activities/claims.ts';
import { assertNoFailedTasks, startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { createPool } from '../support/pool-bench.ts';
import { claimOf } from '../support/pool-model.ts';
import { until } from '../support/until.ts';
import './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

test('a pool answers hundreds of claims over many continue-as-new, each of them once and in order', async () => {
  const pool = createPool(bench, { target: 0, ceiling: 1 });
  pool.world.tuning = { ...pool.world.tuning, continueEvery: 60 };
  pool.world.hold('createMachine');
  await pool.declare();
  const leases = Array.from({ length: 150 }, (_, n) => `many-${n}`);
  const ask = (leaseId: string): Promise<PoolAnswer> =>
    askPool(bench.client.workflow, { pool: pool.name, claim: claimOf(leaseId) }, new AbortController().signal).catch(
      async (error: unknown) => {
        // As its activity does: between two runs nobody answers.
        if (error instanceof Error && error.name === 'ProviderUnavailable') return ask(leaseId);
        throw error;
      },
    );

  const first = await Promise.all(leases.map(ask));
  expect(first.every((answer) => answer.state === 'queued')).toBe(true);
  const again = await Promise.all(leases.map(ask));
  const places = again.map((answer) => (answer.state === 'queued' ? answer.place : 0));
  expect(places.toSorted((a, b) => a - b)).toEqual(leases.map((_, n) => n + 1));
  expect((await pool.status()).waiting).toHaveLength(leases.length);

  // None of these leases exists: the machine goes from one to the next, and stays.
  await pool.update('set', { target: 1 });
  pool.world.letGo('createMachine');
  await until('nobody waits', async () => (await pool.status()).waiting.length === 0);
  await pool.warm(1);
  expect(pool.world.machines.size).toBe(1);
  const late = await Promise.all(leases.slice(0, 20).map(ask));
  expect(new Set(late.map(({ state }) => state))).toEqual(new Set(['none']));

  const runs = await bench.runsOf(pool.workflowId);
  expect(runs.length).toBeGreaterThanOrEqual(10);
  for (const run of runs) assertNoFailedTasks(pool.workflowId, run);
  await pool.end();
});
