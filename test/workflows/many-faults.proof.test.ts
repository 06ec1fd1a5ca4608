import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeaseRequest, LeaseResult } from '../../src/domain/lease.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { job, steps } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench({ ...defaultTuning, stuckRetryMs: 300 });
});
afterAll(() => bench.stop());

const request: Partial<LeaseRequest> = { job: { ...job, graceMs: 0, secretEnv: { TOKEN: 'lease:TOKEN' } } };
const whole = (world: FakeWorld): void => {
  world.plan = fakePlan({ steps, gate: 'command' });
  world.jobExit = 3;
};

const released = async ({ handle }: Leased): Promise<LeaseResult> => {
  const result = await handle.result();
  expect(result).toMatchObject({ state: 'released', job: { exitCode: 3 } });
  return result;
};
const releasedWith = (attempts: number) => async (leased: Leased) => {
  expect((await released(leased)).attempts).toHaveLength(attempts);
};
const cancelled = async ({ handle, leaseId }: Leased) => {
  expect(await handle.result()).toMatchObject({ state: 'cancelled' });
  expect(await bench.task(leaseId).result()).toMatchObject({ state: 'cancelled' });
};
const both = ['before', 'after'] as const;
const hold = (world: FakeWorld): void => world.hold('followTask');

/** Whatever failed: no two machines at once, each known machine destroyed, and the fault did happen. */
async function assertClean(leased: Leased, faults: number): Promise<void> {
  await bench.over(leased);
  const { world } = leased;
  expect(world.fired).toBe(faults);
  expect(world.overlaps).toEqual([]);
  expect([...world.machines.values()].map((machine) => machine.state)).not.toContain('made');
  const ids = [...world.machines.values()].map((machine) => machine.machineId);
  expect(new Set(ids).size).toBe(ids.length);
}

describe.concurrent('with every activity delivered twice', () => {
  test('a job runs once, and nothing is left', async () => {
    const leased = await bench.lease(request, (world) => {
      whole(world);
      world.twice = true;
    });
    await releasedWith(1)(leased);
    await assertClean(leased, 0);
    expect(leased.world.machines.size).toBe(1);
  });

  test('a cancel ends it once, and nothing is left', async () => {
    const leased = await bench.lease(request, (world) => {
      whole(world);
      world.twice = true;
      hold(world);
    });
    await leased.world.isHeld('followTask');
    await leased.handle.signal('cancel');
    await cancelled(leased);
    await assertClean(leased, 0);
  });
});

test('with a fault before and after every activity of its way, a job runs once, and nothing is left', async () => {
  const way = [
    'resolveBundle',
    'createMachine',
    'awaitRunning',
    'awaitAccessible',
    'runStep',
    'awaitGate',
    'followTask',
    'destroyMachine',
    'forgetSecrets',
  ] as const;
  const leased = await bench.lease(request, (world) => {
    whole(world);
    world.faults = way.flatMap((activity) => both.map((side) => ({ activity, side, retryable: true })));
  });
  await releasedWith(1)(leased);
  await assertClean(leased, way.length * 2);
});
