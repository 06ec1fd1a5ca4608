import { afterAll, beforeAll, expect, test } from 'vitest';
import type { TaskResult } from '../../src/domain/task.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { job, steps, waitReady } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

test('the empty shape adds at most 130 events', async () => {
  const leased = await bench.lease({ job });
  await waitReady(leased);
  await leased.handle.result();
  await bench.over(leased);
  const ids = [leased.handle.workflowId, `machine/${leased.leaseId}.1`, `task/${leased.leaseId}/job`];
  const runs = await Promise.all(ids.map((id) => bench.runsOf(id)));
  const events = runs.map((run) => run.flatMap((history) => history.events ?? []).length);
  expect(
    events.reduce((sum, n) => sum + n, 0),
    `events: ${events.join(' + ')}`,
  ).toBeLessThanOrEqual(130);
});

test('each step of a bundle adds at most 6 events', async () => {
  const count = async (n: number): Promise<number> => {
    const leased = await bench.lease({ job }, (world) => {
      world.plan = fakePlan({
        steps: Array.from({ length: n }, () => steps[0] ?? { title: '', limitMs: 1, allowFailure: false }),
      });
    });
    await leased.handle.result();
    await bench.over(leased);
    const events = (await bench.runsOf(`machine/${leased.leaseId}.1`)).flatMap((run) => run.events ?? []);
    // Up to ready, which the machine shows first there: at its end, messages that cross each other cost an event or two.
    return events.findIndex((event) => event.upsertWorkflowSearchAttributesEventAttributes);
  };
  const [none, five] = await Promise.all([count(0), count(5)]);
  expect((five - none) / 5).toBeLessThanOrEqual(6);
});

test('a task result keeps its shape over the wire', async () => {
  const leased = await bench.lease({ job });
  const { job: done } = await leased.handle.result();
  expect(done satisfies TaskResult | undefined).toEqual(await bench.task(leased.leaseId).result());
});
