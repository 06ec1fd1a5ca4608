import { randomUUID } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { DefaultLogger, makeTelemetryFilterString, NativeConnection, Runtime, Worker } from '@temporalio/worker';
import type { Activities } from '../../src/activities/activities.ts';
import { attributesOf } from '../../src/contract/attributes.ts';
import { longTaskQueue } from '../../src/contract/messages.ts';
import { leaseWorkflowId } from '../../src/domain/ids.ts';
import type { LeaseRequest } from '../../src/domain/lease.ts';
import type { lease } from '../../src/workflows/lease.ts';

const dist = new URL('../../dist/', import.meta.url).pathname;
export const workflowBundle = { codePath: `${dist}workflow-bundle.js` };
export const dataConverter = { payloadConverterPath: `${dist}workflows/payload-converter.js` };

let quiet = false;
/** The SDK tells of every injected fault: only its own errors are of interest. Once a process. */
export function quietRuntime(): void {
  if (quiet) return;
  quiet = true;
  Runtime.install({
    logger: new DefaultLogger('ERROR'),
    telemetryOptions: { logging: { filter: makeTelemetryFilterString({ core: 'ERROR', other: 'ERROR' }) } },
  });
}

/** Our workflows as they are built, on a queue of their own; the queue of long activities has one name. */
export async function startWorkers(
  native: NativeConnection,
  activities: Activities,
  { bundle = workflowBundle, beatMs = 50 } = {},
) {
  const taskQueue = `test-${randomUUID()}`;
  const common = {
    connection: native,
    activities,
    dataConverter,
    // Longer than a busy machine takes: a worker that is cut off fails with "Worker still in use".
    shutdownForceTime: 30_000,
    // A cancellation travels on heartbeats.
    maxHeartbeatThrottleInterval: beatMs,
    defaultHeartbeatThrottleInterval: beatMs,
  } as const;
  const workers = [
    await Worker.create({ ...common, taskQueue, workflowBundle: bundle, reuseV8Context: true }),
    await Worker.create({ ...common, taskQueue: longTaskQueue, maxConcurrentActivityTaskExecutions: 500 }),
  ];
  const running = Promise.all(workers.map((worker) => worker.run()));
  return {
    taskQueue,
    async stop(): Promise<void> {
      for (const worker of workers) worker.shutdown();
      await running;
    },
  };
}

export const startLease = (
  client: Client,
  taskQueue: string,
  request: Partial<LeaseRequest> & { readonly leaseId: string },
  owner?: string,
) =>
  client.workflow.start<typeof lease>('lease', {
    taskQueue,
    workflowId: leaseWorkflowId(request.leaseId),
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    args: [{ bundle: 'hello', ...request }],
    ...(owner === undefined ? {} : { typedSearchAttributes: attributesOf({ owner }) }),
  });

/** Workers over given activities on a server that is the test file's own. */
export async function startWorkflowBench(address: string, activities: Activities) {
  quietRuntime();
  const connection = await Connection.connect({ address });
  const native = await NativeConnection.connect({ address });
  const workers = await startWorkers(native, activities);
  const client = new Client({ connection });
  return {
    client,
    taskQueue: workers.taskQueue,
    start: (request: Partial<LeaseRequest> = {}) =>
      startLease(client, workers.taskQueue, { leaseId: `l-${randomUUID().slice(0, 8)}`, ...request }),
    async stop(): Promise<void> {
      await workers.stop();
      await connection.close();
      await native.close();
    },
  };
}
