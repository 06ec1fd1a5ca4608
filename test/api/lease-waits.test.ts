import { temporal } from '@temporalio/proto';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { createLeaseWaits } from '../../src/api/lease-waits.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench({ ...defaultTuning, continueEvery: 5 });
});
afterAll(() => bench.stop());

const { UPDATE_WORKFLOW_EXECUTION_LIFECYCLE_STAGE_ACCEPTED: accepted } =
  temporal.api.enums.v1.UpdateWorkflowExecutionLifecycleStage;

/** The server answers a wait after 20 s with no more than that it was taken, and the client asks anew: here at once. */
function answersWithoutResult(beforeItIsAskedAnew: () => Promise<void>): void {
  const { workflowService: service } = bench.client;
  const send = service.updateWorkflowExecution.bind(service);
  const poll = service.pollWorkflowExecutionUpdate.bind(service);
  vi.spyOn(service, 'updateWorkflowExecution').mockImplementation((request) =>
    send({ ...request, waitPolicy: { lifecycleStage: accepted } }),
  );
  vi.spyOn(service, 'pollWorkflowExecutionUpdate').mockImplementation(async (request) => {
    await beforeItIsAskedAnew();
    return poll(request);
  });
}

async function continuesAsNew({ handle }: Leased): Promise<void> {
  const { runId } = await handle.describe();
  await handle.signal('poke');
  await until('the lease has another run', async () => (await handle.describe()).runId !== runId);
}

test('a wait for ready whose run is over before its answer is fetched goes on in the next, until the lease is ready', async () => {
  const leased = await bench.lease({}, (world) => world.hold('awaitAccessible'));
  await leased.world.isHeld('awaitAccessible');
  let asked = 0;
  answersWithoutResult(async () => {
    asked += 1;
    if (asked <= 2) await continuesAsNew(leased);
    else leased.world.letGo('awaitAccessible');
  });
  const waits = createLeaseWaits({ client: bench.client });
  const view = await waits.wait(leased.leaseId, 'ready', 25_000, new AbortController().signal);
  vi.restoreAllMocks();
  expect([view.state, asked]).toEqual(['ready', 3]);
  await leased.handle.executeUpdate('release', { args: [{}] });
  await bench.over(leased);
});
