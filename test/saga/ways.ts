import { isGrpcServiceError } from '@temporalio/client';
import type { LeaseRequest, LeaseStatus } from '../../src/domain/lease.ts';
import { machineWorkflowId } from '../../src/domain/ids.ts';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import type { ActivityName, FakeWorld } from '../support/fake-world.ts';
import { askFor } from '../support/quota-ask.ts';
import { update } from './updates.ts';
import type { SagaBench } from './bench.ts';
import type { Cell, LifeName } from './cells.ts';
import { isTold } from './kinds.ts';
import { patiently } from './patiently.ts';
import type { Run } from './run.ts';
import { poolMachineWays, poolWays, pooledLeaseWays } from './ways-pool.ts';

/** How a life comes to an activity. */
export interface Way {
  /** The lease without a job runs one task. */
  readonly task?: true;
  readonly prepare?: (world: FakeWorld, id: string) => void;
  /** What must be in the way before it starts. */
  readonly before?: (bench: SagaBench, id: string) => Promise<unknown>;
  /** Which of its calls is meant; the first one when absent. */
  readonly when?: (input: never, id: string) => boolean;
  /** Where it waits for what must be done before the call (or, after its effect, the effect) comes. */
  readonly until?: (run: Run) => Promise<void>;
  /** What must be done then. */
  readonly drive?: (run: Run) => Promise<unknown>;
  /** Lets the life go on to its end, after the fault; all gates are opened when absent. */
  readonly finish?: (run: Run) => Promise<void>;
  /** The lease without a job ends by itself: it is not given back. */
  readonly endsItself?: (cell: Cell) => boolean;
}

/** The activities of a life that have cells; the workflows of its kind call no other, which a test sees to. */
export type Ways = Readonly<Partial<Record<ActivityName, Way>>>;

const plain: Way = {};
export const firstMachine = (id: string): string => `${id}.1`;

/** Until its task ends by itself, is killed, or loses its machine. */
const runs = (world: FakeWorld): void => world.hold('followTask');

const runsItsTask = ({ world }: Run): Promise<void> => world.isHeld('followTask');

const lose = ({ world, leaseId }: Run): void =>
  void world.lost.set(firstMachine(leaseId), { type: 'GuestLost', message: 'out of reach for long' });

export const openGates = ({ world }: Run): void => {
  world.letGo('followTask');
  world.letGo('destroyMachine');
};

/** A lease without a job ends when it is released, once it is ready and its task has ended. */
export async function giveBack(run: Run): Promise<void> {
  await mayBeGivenBack(run);
  await release(run);
}

async function mayBeGivenBack(run: Run): Promise<void> {
  const over = async (): Promise<boolean> => {
    const { status } = await run.handle.describe();
    if (status.name !== 'RUNNING') return true;
    const { state } = await run.handle.query<LeaseStatus>('status');
    return state !== 'acquiring' && state !== 'working';
  };
  await patiently(`${run.leaseId} is ready, or over`, over);
}

/** As a caller does who is answered that it did not work now: the server gives up an update when its workflow task fails. */
async function release(run: Run): Promise<void> {
  await patiently(`${run.leaseId} takes its release`, async () => {
    try {
      await update(run, 'release');
      return true;
    } catch (error) {
      if ((await run.handle.describe()).status.name !== 'RUNNING') return true;
      if (isGrpcServiceError((error as Error).cause)) return false;
      throw error;
    }
  });
}

/** The watch has news and will tell them, unless it fails for good with them; or the machine itself is told to end. */
const isNews = ({ life, side, what }: Cell): boolean =>
  (side === 'after' && what !== 'failsForGood') || (life === 'machine' && isTold(what));

const watched: Way = {
  prepare: runs,
  endsItself: isNews,
  finish: async (run) => (isNews(run.cell) ? undefined : openGates(run)),
  until: async ({ cell, world }) => {
    if (cell.side === 'after') await patiently('the watch looks', () => world.count('watchMachine') > 0);
  },
  drive: async (run) => (run.cell.side === 'after' ? lose(run) : undefined),
};

/** A lease looks at its children only when an earlier run of its own has started them. */
const children: Way = {
  task: true,
  prepare: (world) => {
    world.tuning = { ...world.tuning, continueEvery: 5 };
    runs(world);
  },
  when: ({ workflowIds }: { workflowIds: readonly string[] }) => workflowIds.some((child) => child.startsWith('task/')),
  until: ({ point }) => patiently('the lease watches its task', () => point.seen > 0),
  drive: async ({ cell, task }) => (cell.side === 'after' ? task.terminate('by hand') : undefined),
  finish: async (run) => {
    const { life, side, what } = run.cell;
    // Nobody else tells the lease of its task for the next five minutes: a person ends it.
    if (side === 'after' && what === 'failsForGood')
      await (life === 'held lease' ? release(run) : run.handle.signal('cancel', { reason: 'it hangs' }));
    openGates(run);
  },
};

const abandoned: Way = {
  task: true,
  prepare: (world) => {
    runs(world);
    world.hold('destroyMachine');
  },
  until: runsItsTask,
  drive: async (run) => lose(run),
  endsItself: () => true,
};

/** The lease is still open while the machine is destroyed: it failed before it was ready, and another one follows. */
const replaced: Way = {
  prepare: (world) => (world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }]),
  when: ({ machine }: { machine: { machineId: string } }, id) => machine.machineId === firstMachine(id),
};

/** One machine at a time, of an account of the lease's own. */
const quota = { machines: 1 };
const accountOf = (id: string): string => `q-${id}`;
const quotaed: Way = {
  prepare: (world, id) => {
    const account = accountOf(id);
    world.plan = { ...world.plan, quotas: [{ account, place: 'fake', cores: 1, memoryMb: 0 }] };
    world.quotas = new Map([[account, quota]]);
  },
  finish: sweepAccount,
};
/** Another one has the only part until it gives it back. */
const queued: Way = {
  ...quotaed,
  before: (bench, id) => askFor(bench, accountOf(id), quota),
  until: ({ point }) => patiently('the machine waits for its part', () => point.seen > 0),
  // A grant comes by signal; the wait itself gets it where the account has forgotten who waits.
  drive: async ({ cell, quota: account }) => (cell.side === 'after' ? account.terminate('by hand') : undefined),
  finish: makeRoom,
};

async function makeRoom(run: Run): Promise<void> {
  await run.quota.signal('release', { key: 'k' });
  await sweepAccount(run);
}

/** What a terminated machine had asked for is given back by the sweeps of the next minutes: here it goes on with two looks. */
async function sweepAccount({ cell, leaseId, point, quota: account }: Run): Promise<void> {
  if (cell.life !== 'machine' || cell.what !== 'terminated') return;
  await point.over();
  await patiently(`the account of ${leaseId} is healed`, async () => {
    const { held, waiting } = await account.query<QuotaStatus>('status');
    const left = [...held, ...waiting].filter(({ machineId }) => machineId === firstMachine(leaseId));
    const closed = left.map(({ key }) => key);
    if (closed.length > 0) await account.signal('reconcile', { provider: 'fake', atMs: Date.now(), seen: [], closed });
    return closed.length === 0;
  });
}

/** Nobody waits for the answer: the fault may cost it. */
const resetsIt = async ({ bench, leaseId }: Run): Promise<void> => {
  const machine = bench.client.workflow.getHandle(machineWorkflowId(firstMachine(leaseId)));
  await machine.startUpdate('power', { args: [{ action: 'reset', by: 'ana' }], waitForStage: 'ACCEPTED' });
};

const killed = (stop: (run: Run) => Promise<unknown>): Way => ({
  task: true,
  prepare: runs,
  finish: async (run) => {
    const { side, what } = run.cell;
    // A command that is never killed ends by itself some time.
    if (side === 'before' && (what === 'failsForGood' || what === 'timesOut')) openGates(run);
  },
  until: runsItsTask,
  drive: stop,
});

const waysToReady = {
  reserveQuota: quotaed,
  awaitQuota: queued,
  createMachine: plain,
  awaitRunning: plain,
  awaitAccessible: plain,
  runStep: plain,
  awaitGate: plain,
} satisfies Ways;

const heldWays = {
  watchMachine: watched,
  watchChildren: children,
  followTask: { task: true },
  killTask: killed(release),
  forgetSecrets: { task: true, until: mayBeGivenBack, drive: release },
} satisfies Ways;

const leaseWays: Ways = {
  resolveBundle: plain,
  ...waysToReady,
  ...heldWays,
  destroyMachine: replaced,
  abandonTask: abandoned,
};

/** What the job has made. */
const report = { path: '~/report', bytes: 3, sha256: 'f'.repeat(64), tree: false };
const collected: Way = { prepare: (world) => world.files.set(report.path, report) };

const cancels = (run: Run): Promise<void> => run.handle.signal('cancel', { reason: 'no longer needed' });

export const ways: Readonly<Record<LifeName, Ways>> = {
  'lease with a job': { ...leaseWays, killTask: killed(cancels), moveFile: collected, forgetSecrets: plain },
  'held lease': heldWays,
  'pooled lease': pooledLeaseWays,
  machine: {
    ...waysToReady,
    watchMachine: watched,
    powerMachine: { until: mayBeGivenBack, drive: resetsIt },
    gatherEvidence: replaced,
    destroyMachine: { until: mayBeGivenBack, drive: release },
  },
  task: {
    followTask: { task: true },
    killTask: killed((run) => run.task.signal('cancel', { reason: 'too long' })),
    abandonTask: abandoned,
  },
  'pool machine': poolMachineWays,
  pool: poolWays,
  file: { moveFile: plain },
  key: {
    letKeyIn: plain,
    takeKeyOut: {
      until: async ({ target }) => target.executeUpdate('letIn'),
      drive: ({ target }) => target.signal('leave'),
    },
  },
  notification: { notify: plain },
  sweep: { sweepProviders: plain },
  orphan: { destroyMachine: plain },
};

/** What a lease of these lives asks for: more attempts than faults, and a secret to forget. */
export const requestOf = ({ life, activity }: Cell): Partial<LeaseRequest> => ({
  attempts: 5,
  ...(life === 'lease with a job' || life === 'pooled lease' ? { job: taskSpec } : {}),
  ...(life === 'lease with a job' && activity === 'moveFile' ? { collect: [report.path] } : {}),
});
export const taskSpec = { command: ['true'], graceMs: 0, secretEnv: { TOKEN: 'lease:TOKEN' } };
