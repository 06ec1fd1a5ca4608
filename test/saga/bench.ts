import { bundleWorkflowCode, DefaultLogger, NativeConnection } from '@temporalio/worker';
import { Client, Connection, WorkflowNotFoundError } from '@temporalio/client';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Activities } from '../../src/activities/activities.ts';
import { machineWorkflowId, poolWorkflowId, quotaWorkflowId } from '../../src/domain/ids.ts';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import type { MachineEnd } from '../../src/workflows/machine.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { assertNoFailedTasks, createFakes, createLeases, type LeaseBench } from '../support/lease-bench.ts';
import { startTestTemporal } from '../support/temporal.ts';
import { dataConverter, quietRuntime, startWorkers } from '../support/workflow-bench.ts';
import type { Cell, LifeName } from './cells.ts';
import { createFaults, type Faults } from './faults.ts';
import { patiently } from './patiently.ts';
import type { Run } from './run.ts';

/** Runs the workflows of a queue over the given activities. */
export interface QueueWorkers {
  readonly taskQueue: string;
  readonly stop: () => Promise<void>;
}

export interface SagaBench extends Pick<LeaseBench, 'client' | 'taskQueue' | 'world' | 'lease' | 'isClosed'> {
  readonly faults: Faults;
  readonly start: (type: string, workflowId: string, input: unknown) => Promise<void>;
  readonly sweep: (workflowId: string, provider: string) => Promise<void>;
  readonly closed: (workflowId: string) => Promise<void>;
  readonly childrenClosed: (run: Run) => Promise<void>;
  /** By a sweep, where the cell may leave one. */
  readonly reclaimOrphans: (run: Run) => Promise<boolean>;
  /** How the first machine of a lease has ended. */
  readonly machineOf: (leaseId: string) => Promise<string>;
  /** @throws Error that names what is left, or what happened twice */
  readonly assertClean: (run: Run) => Promise<void>;
  readonly stop: () => Promise<void>;
}

const isLeased = (life: LifeName): boolean =>
  life === 'lease with a job' ||
  life === 'held lease' ||
  life === 'pooled lease' ||
  life === 'machine' ||
  life === 'task';

/** Only a sweep takes back the machine of a workflow that was terminated. */
const mayLeave = ({ life, activity, side, what }: Cell): boolean =>
  life === 'sweep' ||
  (what === 'terminated' && (life === 'machine' || life === 'pool machine' || life === 'orphan')) ||
  ((life === 'pool' || life === 'pooled lease') && activity === 'watchChildren' && side === 'after');

/** How the workers of a bench are started: in this process, or in one that can be killed. */
export type StartWorkers = (
  given: { readonly native: NativeConnection; readonly address: string; readonly activities: Activities },
  bundle: { readonly codePath: string },
) => Promise<QueueWorkers>;

const inProcess: StartWorkers = ({ native, activities }, bundle) =>
  startWorkers(native, activities, { bundle, beatMs: 300 });

/** A server and workers of the file's own, over a fake world for each cell, with faults around every activity. */
export async function startSagaBench(startOn: StartWorkers = inProcess): Promise<SagaBench> {
  quietRuntime();
  const folder = await mkdtemp(join(tmpdir(), 'slipway-saga-'));
  const server = await startTestTemporal();
  const connection = await Connection.connect({ address: server.address });
  const native = await NativeConnection.connect({ address: server.address });
  const client = new Client({ connection });
  const fakes = createFakes(client);
  const faults = createFaults();
  const given = { native, address: server.address, activities: faults.around(fakes.activities) };
  const { taskQueue, ...workers } = await startOn(given, await bundle(folder));
  const leases = createLeases(client, taskQueue, fakes.world);

  const start: SagaBench['start'] = async (type, workflowId, input) => {
    const workflowIdReusePolicy = 'REJECT_DUPLICATE';
    await client.workflow.start(type, { taskQueue, workflowId, workflowIdReusePolicy, args: [input] });
  };
  const sweep: SagaBench['sweep'] = (workflowId, provider) => start('sweep', workflowId, { provider, reclaim: true });
  const heldOf = async (account: string): Promise<string[]> => {
    const handle = client.workflow.getHandle(quotaWorkflowId(account));
    const { held, waiting } = await handle.query<QuotaStatus>('status').catch((error: unknown) => {
      // It may never have been asked.
      if (error instanceof WorkflowNotFoundError) return { held: [], waiting: [] };
      throw error;
    });
    return [...held, ...waiting].map(({ machineId }) => `${machineId} still has its part of ${account}`);
  };
  const closed = (workflowId: string): Promise<void> =>
    patiently(`the end of ${workflowId}`, () => leases.isClosed(workflowId));

  return {
    client,
    taskQueue,
    faults,
    world: fakes.world,
    lease: (request, prepareWorld) => leases.lease(request, prepareWorld),
    isClosed: (id) => leases.isClosed(id),
    start,
    sweep,
    closed,
    async childrenClosed({ leaseId }) {
      for (const child of await leases.childrenOf(leaseId)) await closed(child);
    },
    async reclaimOrphans({ cell, leaseId: id }) {
      const [name = id, world] =
        [id, poolWorkflowId(id)].map((of) => [of, fakes.world(of)] as const).find(([, of]) => of.owned().length > 0) ??
        [];
      if (!world || !mayLeave(cell)) return false;
      const handle = client.workflow.getHandle(`sweep/kit-${id}`);
      const owned = world.owned();
      await sweep(handle.workflowId, name);
      await handle.result();
      for (const machineId of owned) await closed(machineWorkflowId(machineId));
      return true;
    },
    async machineOf(leaseId) {
      if (!(await leases.childrenOf(leaseId)).includes(machineWorkflowId(`${leaseId}.1`))) return 'no machine';
      const { phase, cause } = (await leases.machine(leaseId).result()) as MachineEnd;
      return `machine ${phase} (${cause ?? ''})`;
    },
    async assertClean({ cell, leaseId, target }) {
      const world = fakes.world(leaseId);
      if (isLeased(cell.life)) await leases.over({ leaseId, world });
      for (const history of await leases.runsOf(target.workflowId)) assertNoFailedTasks(target.workflowId, history);
      const wrong = [world, fakes.world(poolWorkflowId(leaseId))].flatMap(wrongIn);
      for (const account of world.quotas.keys()) wrong.push(...(await heldOf(account)));
      if (wrong.length > 0) throw new Error(wrong.join('; '));
    },
    async stop() {
      await workers.stop();
      await connection.close();
      await native.close();
      await server.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Those of its lease or pool are there once, on one machine; nothing is left. */
function wrongIn(world: FakeWorld): readonly string[] {
  return [
    ...world.owned().map((machine) => `${machine} is left`),
    ...world.overlaps.map((machine) => `${machine} was made beside another one of its lease`),
    ...twice([...world.machines.values()].map(({ machineId }) => machineId)).map((id) => `${id} was made twice`),
    ...[...world.launches].filter(([, on]) => on.size > 1).map(([task, on]) => `${task} ran on ${on.size} machines`),
  ];
}

const twice = (ids: readonly string[]): string[] => ids.filter((id, n) => ids.indexOf(id) !== n);

/** Of our workflows, as they are built, with time-outs that cells may shorten. */
async function bundle(folder: string): Promise<{ codePath: string }> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../../dist/workflows/index.js', import.meta.url)),
    payloadConverterPath: dataConverter.payloadConverterPath,
    workflowInterceptorModules: [fileURLToPath(new URL('short-time-outs.ts', import.meta.url))],
    logger: new DefaultLogger('WARN'),
  });
  const codePath = join(folder, 'workflow-bundle.js');
  await writeFile(codePath, code);
  return { codePath };
}
