import { randomUUID } from 'node:crypto';
import { Client, Connection, type WorkflowHandleWithFirstExecutionRunId } from '@temporalio/client';
import type { temporal } from '@temporalio/proto';
import { NativeConnection } from '@temporalio/worker';
import type { Activities } from '../../src/activities/activities.ts';
import {
  leaseWorkflowId,
  machineIdOf,
  machineWorkflowId,
  poolWorkflowId,
  taskWorkflowId,
} from '../../src/domain/ids.ts';
import type { LeaseRequest, LeaseStatus, MachineStatus } from '../../src/domain/lease.ts';
import { defaultTuning, type Tuning } from '../../src/domain/tuning.ts';
import type { lease } from '../../src/workflows/lease.ts';
import { FakeWorld } from './fake-world.ts';
import { startTestTemporal } from './temporal.ts';
import { until } from './until.ts';
import { quietRuntime, startLease, startWorkers } from './workflow-bench.ts';

export type History = temporal.api.history.v1.IHistory;

export interface Leased {
  readonly leaseId: string;
  readonly world: FakeWorld;
  readonly handle: WorkflowHandleWithFirstExecutionRunId<typeof lease>;
}

/** Workers with our workflows as they are built, over a fake world for each lease, on a server of the file's own. */
export async function startLeaseBench(tuning: Tuning = defaultTuning) {
  quietRuntime();
  const server = await startTestTemporal();
  const connection = await Connection.connect({
    address: server.address,
    // Whole histories are read, also of chatty tasks.
    channelArgs: { 'grpc.max_receive_message_length': -1 },
  });
  const native = await NativeConnection.connect({ address: server.address });
  const client = new Client({ connection });
  const fakes = createFakes(client, tuning);
  const workers = await startWorkers(native, fakes.activities);
  return {
    ...createLeases(client, workers.taskQueue, fakes.world),
    client,
    connection,
    world: fakes.world,
    taskQueue: workers.taskQueue,
    async stop(): Promise<void> {
      await workers.stop();
      await connection.close();
      await native.close();
      await server.stop();
    },
  };
}

export type LeaseBench = Awaited<ReturnType<typeof startLeaseBench>>;

/** A world for each lease and each pool; every activity finds its own by the id of its machine or lease. */
export function createFakes(client: Client, tuning: Tuning = defaultTuning) {
  const worlds = new Map<string, FakeWorld>();
  const world = (leaseId: string): FakeWorld => {
    const known = worlds.get(leaseId);
    if (known) return known;
    const made = new FakeWorld(client.workflow);
    made.tuning = tuning;
    worlds.set(leaseId, made);
    return made;
  };
  const fakeOf = (leaseId: string): Activities => world(leaseId).activities();
  const activities: Activities = {
    claimMachine: (input) => fakeOf(input.claim.leaseId).claimMachine(input),
    watchClaim: (input) => fakeOf(input.claim.leaseId).watchClaim(input),
    planSchedule: (input) => fakeOf('schedules').planSchedule(input),
    resolveBundle: (input) => fakeOf(input.request.leaseId).resolveBundle(input),
    reserveQuota: (input) => fakeOf(worldOf(input.ask.machineId)).reserveQuota(input),
    awaitQuota: (input) => fakeOf(worldOf(input.ask.machineId)).awaitQuota(input),
    createMachine: (input) => fakeOf(worldOf(input.machine.machineId)).createMachine(input),
    awaitRunning: (input) => fakeOf(worldOf(input.machine.machineId)).awaitRunning(input),
    awaitAccessible: (input) => fakeOf(worldOf(input.machine.machineId)).awaitAccessible(input),
    runStep: (input) => fakeOf(worldOf(input.machine.machineId)).runStep(input),
    awaitGate: (input) => fakeOf(worldOf(input.machine.machineId)).awaitGate(input),
    inspectMachine: (input) => fakeOf(worldOf(input.machine.machineId)).inspectMachine(input),
    takeBaseline: (input) => fakeOf(worldOf(input.machine.machineId)).takeBaseline(input),
    reloadMachine: (input) => fakeOf(worldOf(input.machine.machineId)).reloadMachine(input),
    resetGuest: (input) => fakeOf(worldOf(input.machine.machineId)).resetGuest(input),
    watchMachine: (input) => fakeOf(worldOf(input.machine.machineId)).watchMachine(input),
    watchChildren: (input) => fakeOf(worldOfChild(input.workflowIds[0] ?? '')).watchChildren(input),
    gatherEvidence: (input) => fakeOf(worldOf(input.machine.machineId)).gatherEvidence(input),
    powerMachine: (input) => fakeOf(worldOf(input.machine.machineId)).powerMachine(input),
    destroyMachine: (input) => fakeOf(worldOf(input.machine.machineId)).destroyMachine(input),
    followTask: (input) => fakeOf(input.leaseId).followTask(input),
    killTask: (input) => fakeOf(input.leaseId).killTask(input),
    abandonTask: (input) => fakeOf(input.leaseId).abandonTask(input),
    moveFile: (input) => fakeOf(input.leaseId).moveFile(input),
    letKeyIn: (input) => fakeOf(input.leaseId).letKeyIn(input),
    takeKeyOut: (input) => fakeOf(input.leaseId).takeKeyOut(input),
    notify: (input) => fakeOf(input.leaseId).notify(input),
    forgetSecrets: (input) => fakeOf(input.leaseId).forgetSecrets(input),
    sweepProviders: (input) =>
      fakeOf(worlds.has(input.provider ?? '') ? (input.provider ?? '') : 'sweep').sweepProviders(input),
  };
  return { world, activities };
}

/** A lease's machines live in its own world, a pool's in that of `pool/<name>`. */
const worldOf = (machineId: string): string =>
  machineId.includes('+') ? poolWorkflowId(machineId.replace(/\+\d+$/, '')) : machineId.replace(/\.\d+$/, '');

const worldOfChild = (workflowId: string): string =>
  workflowId.startsWith('task/')
    ? (workflowId.split('/')[1] ?? '')
    : worldOf(workflowId.slice(machineWorkflowId('').length));

export function createLeases(client: Client, taskQueue: string, worldOf: (leaseId: string) => FakeWorld) {
  const machine = (leaseId: string, attempt = 1) =>
    client.workflow.getHandle(machineWorkflowId(machineIdOf(leaseId, attempt)));
  const task = (leaseId: string, taskId = 'job') => client.workflow.getHandle(taskWorkflowId(leaseId, taskId));
  const isClosed = async (workflowId: string): Promise<boolean> =>
    (await client.workflow.getHandle(workflowId).describe()).status.name !== 'RUNNING';

  /** Of every run of a chain, the first one first. */
  const runsOf = async (workflowId: string): Promise<History[]> => {
    const runs: History[] = [];
    let runId: string | undefined;
    for (;;) {
      const history = await client.workflow.getHandle(workflowId, runId).fetchHistory();
      runs.unshift(history);
      const before = history.events?.[0]?.workflowExecutionStartedEventAttributes?.continuedExecutionRunId;
      if (!before) return runs;
      runId = before;
    }
  };
  const childrenOf = async (leaseId: string): Promise<string[]> => {
    const runs = await runsOf(leaseWorkflowId(leaseId));
    return runs.flatMap((run) =>
      (run.events ?? []).flatMap((event) => {
        const id = event.childWorkflowExecutionStartedEventAttributes?.workflowExecution?.workflowId;
        return id ? [id] : [];
      }),
    );
  };

  return {
    machine,
    task,
    runsOf,
    childrenOf,
    isClosed,
    status: (leaseId: string): Promise<LeaseStatus> =>
      client.workflow.getHandle(leaseWorkflowId(leaseId)).query<LeaseStatus>('status'),
    machineStatus: (leaseId: string, attempt = 1): Promise<MachineStatus> =>
      machine(leaseId, attempt).query<MachineStatus>('status'),

    /** A lease in a world that is prepared before it starts. */
    async lease(
      request: Partial<LeaseRequest> = {},
      prepare: (world: FakeWorld) => void = () => undefined,
      owner?: string,
    ): Promise<Leased> {
      const leaseId = request.leaseId ?? `l-${randomUUID().slice(0, 8)}`;
      const world = worldOf(leaseId);
      prepare(world);
      return { leaseId, world, handle: await startLease(client, taskQueue, { ...request, leaseId }, owner) };
    },

    /**
     * Waits until every child of the lease has closed, and checks what must hold after any life: nothing is owned, no task
     * ran on two machines, no workflow task failed.
     */
    async over({ leaseId, world }: Pick<Leased, 'leaseId' | 'world'>): Promise<void> {
      for (const child of await childrenOf(leaseId)) await until(`the end of ${child}`, () => isClosed(child));
      if (world.owned().length > 0) throw new Error(`Owned after the end of ${leaseId}: ${world.owned().join(', ')}`);
      for (const [key, machines] of world.launches)
        if (machines.size > 1) throw new Error(`${key} ran on ${machines.size} machines`);
      for (const id of [leaseWorkflowId(leaseId), ...(await childrenOf(leaseId))]) {
        for (const run of await runsOf(id)) assertNoFailedTasks(id, run);
      }
    },
  };
}

/** The server's own refusals: to close a run that has news, and what was under way when a run was terminated. */
const refusedByServer = new Set([1, 17, 31]); // UNHANDLED_COMMAND, FORCE_CLOSE_COMMAND, UNHANDLED_UPDATE

/** A workflow task that fails is retried for ever. */
export function assertNoFailedTasks(workflowId: string, history: History): void {
  for (const event of history.events ?? []) {
    const failed = event.workflowTaskFailedEventAttributes;
    if (failed && !refusedByServer.has(failed.cause ?? 0))
      throw new Error(`A workflow task of ${workflowId} failed: ${failed.failure?.message}`);
  }
}
