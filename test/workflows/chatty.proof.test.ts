import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TaskStatus } from '../../src/domain/lease.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { job } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

test('a task takes 5,000 outputAdvanced with long tails, and continues as new on the way', async () => {
  const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
  await leased.world.isHeld('followTask');
  const task = bench.task(leased.leaseId);
  const tail = 'x'.repeat(2_048);
  const many = 5_000;
  const senders = 100;
  let bytes = 0;
  const sender = async (): Promise<void> => {
    while (bytes < many) {
      bytes += 1;
      await task.signal('outputAdvanced', { stdout: { bytes, tail }, stderr: { bytes: 0, tail: '' } });
    }
  };
  await Promise.all(Array.from({ length: senders }, sender));
  const shown = await task.query<TaskStatus>('status');
  expect(shown.state).toBe('running');
  // The last to arrive is one of the last that each sender had under way.
  expect(shown.stdout.bytes).toBeGreaterThan(many - senders);
  await until('another run', async () => (await bench.runsOf(task.workflowId)).length >= 2);
  await leased.world.isHeld('followTask');
  leased.world.letGo('followTask');
  expect(await leased.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 0 } });
  await bench.over(leased);
}, 120_000);
