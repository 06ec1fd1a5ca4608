import { createHash } from 'node:crypto';
import { Client, Connection } from '@temporalio/client';
import { NativeConnection, Worker } from '@temporalio/worker';
import { pino } from 'pino';
import type { Deps } from '../../src/activities/deps.ts';
import { createActivities } from '../../src/activities/index.ts';
import { longTaskQueue, taskQueue, workflowType } from '../../src/contract/messages.ts';
import type { SweepReport } from '../../src/domain/sweep.ts';
import type { Account } from '../../src/domain/quota.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { startTestTemporal } from './temporal.ts';
import { dataConverter, quietRuntime, workflowBundle } from './workflow-bench.ts';

/** One deployment without leases: a Temporal server, a worker with our workflows and activities, and given providers. */
export async function startSweepBench(
  installation: string,
  providers: readonly Provider[],
  accounts: readonly Account[] = [],
) {
  quietRuntime();
  const server = await startTestTemporal();
  const connection = await Connection.connect({ address: server.address });
  const native = await NativeConnection.connect({ address: server.address });
  const client = new Client({ connection });
  const deps: Pick<Deps, 'providers' | 'accounts' | 'installation' | 'client' | 'tuning' | 'logger'> = {
    providers: new Map(providers.map((provider) => [provider.name, provider])),
    accounts: async () => accounts,
    installation: { id: installation, key: createHash('sha256').update(installation).digest() },
    client,
    tuning: { ...defaultTuning, reclaimWithinMs: 1_000, stuckRetryMs: 500 },
    logger: pino({ level: 'silent' }),
  };
  const common = { connection: native, activities: createActivities(deps as Deps), dataConverter } as const;
  const workers = [
    await Worker.create({ ...common, taskQueue, workflowBundle, maxHeartbeatThrottleInterval: 50 }),
    await Worker.create({ ...common, taskQueue: longTaskQueue }),
  ];
  const running = Promise.all(workers.map((worker) => worker.run()));
  let sweeps = 0;
  return {
    client,
    sweep: (input: Readonly<Record<string, unknown>> = {}): Promise<SweepReport> => {
      sweeps += 1;
      return client.workflow.execute<(body: unknown) => Promise<SweepReport>>(workflowType.sweep, {
        workflowId: `sweep/by-hand-${sweeps}`,
        taskQueue,
        args: [input],
      });
    },
    /** A life under the machine's id that nobody works on: it stays open. */
    live: (machineId: string, memo: Readonly<Record<string, string>> = {}) =>
      client.workflow.start(workflowType.machine, {
        workflowId: `machine/${machineId}`,
        taskQueue: 'nobody',
        args: [{}],
        memo,
      }),
    async stop(): Promise<void> {
      for (const worker of workers) worker.shutdown();
      await running;
      await connection.close();
      await native.close();
      await server.stop();
    },
  };
}

export type SweepBench = Awaited<ReturnType<typeof startSweepBench>>;
