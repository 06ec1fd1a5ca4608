import type { Plan } from '../../src/domain/bundle.ts';
import { machineWorkflowId, poolMachineIdOf, poolWorkflowId } from '../../src/domain/ids.ts';
import type { PoolSettings } from '../../src/domain/pool.ts';
import { createPool, pooledPlan } from '../support/pool-bench.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { untilReady } from './updates.ts';
import type { SagaBench } from './bench.ts';
import { patiently } from './patiently.ts';
import type { Run } from './run.ts';
import type { Way, Ways } from './ways.ts';

/** Whatever has happened to its machine, it has a warm one in the end. @param other the first one is no more */
export async function isWarmAgain({ bench, leaseId: id }: Run, other: boolean): Promise<void> {
  await hasWarm(poolFor(bench, id), (machineId) => !other || machineId !== pooledMachine(id));
}

const hasWarm = (pool: Pool, isMeant: (machineId: string) => boolean): Promise<void> =>
  patiently(`${pool.workflowId} has a warm machine`, async () => {
    const { machines } = await pool.status();
    return machines.some(({ machineId, phase }) => phase === 'warm' && isMeant(machineId));
  });

/** The pool of a cell is named as the cell is. */
export const poolWorldOf = (bench: Pick<SagaBench, 'world'>, id: string): FakeWorld => bench.world(poolWorkflowId(id));
export const pooledMachine = (id: string): string => poolMachineIdOf(id, 1);

type Pool = ReturnType<typeof createPool>;
const pools = new WeakMap<FakeWorld, Pool>();

/** One that keeps one machine, of a world as it has been prepared; not declared yet. */
export function poolFor(bench: SagaBench, id: string, settings: Partial<PoolSettings> = {}): Pool {
  const world = poolWorldOf(bench, id);
  const known = pools.get(world);
  if (known) return known;
  const { plan, tuning } = world;
  const pool = createPool(bench, { target: 1, ceiling: 1, ...settings }, id);
  world.plan = { ...plan, pool: pooledPlan(id, plan).pool ?? fail() };
  world.tuning = tuning;
  world.lookEveryMs = 400;
  pools.set(world, pool);
  return pool;
}
const fail = (): never => {
  throw new Error('a plan without its pool');
};

const renewed = (reclaim: NonNullable<Plan['reclaim']>): Way => ({
  prepare: (world) => (world.plan = { ...world.plan, reclaim }),
  until: async (run) => await usedMachine(run),
});

/** A lease has had the machine, which is to be made good again. */
async function usedMachine({ bench, leaseId: id }: Run): Promise<void> {
  const pool = poolFor(bench, id);
  await hasWarm(pool, () => true);
  const { handle } = await pool.lease({ leaseId: `u-${id}`, job: { command: ['true'] } });
  await handle.result();
}

const warm = (run: Run): Promise<void> => isWarmAgain(run, false);

export const poolMachineWays: Ways = {
  watchMachine: {
    until: async (run) => {
      await warm(run);
      if (run.cell.side === 'after')
        await patiently('the watch looks', () => poolWorldOf(run.bench, run.leaseId).count('watchMachine') > 0);
    },
    drive: async ({ bench, cell, leaseId: id }) => {
      const reason = { type: 'GuestLost', message: 'out of reach for long' } as const;
      if (cell.side === 'after') poolWorldOf(bench, id).lost.set(pooledMachine(id), reason);
    },
  },
  takeBaseline: { prepare: (world) => (world.plan = { ...world.plan, reclaim: 'reset' }) },
  inspectMachine: renewed('reload'),
  reloadMachine: renewed('reload'),
  resetGuest: renewed('reset'),
  destroyMachine: {
    until: warm,
    drive: ({ bench, leaseId: id }) => poolFor(bench, id).handle.signal('retract', { why: 'over' }),
  },
};

/** A pool looks at its machines only when an earlier run of its own has started them. */
const carried: Way = {
  until: async (run) => {
    const { bench, leaseId: id, point } = run;
    await warm(run);
    const pool = poolFor(bench, id);
    await pool.declare({}, { tuning: { ...pool.world.tuning, continueEvery: 5 } });
    await patiently('the pool watches its machine', () => point.seen > 0);
  },
  drive: async ({ bench, cell, leaseId: id }) => {
    if (cell.side !== 'after') return;
    poolWorldOf(bench, id).orphans.add(pooledMachine(id));
    await bench.client.workflow.getHandle(machineWorkflowId(pooledMachine(id))).terminate('by hand');
  },
};

export const poolWays: Ways = {
  planSchedule: {},
  watchChildren: carried,
};

/** The lease gets the one machine of its bundle's pool. */
async function beforePool(bench: SagaBench, id: string, settings: Partial<PoolSettings> = {}): Promise<Pool> {
  const pool = poolFor(bench, id, settings);
  const own = bench.world(id);
  own.plan = { ...pool.world.plan };
  own.pool = pool.world;
  await pool.declare();
  return pool;
}

const claiming: Way = {
  before: async (bench, id) => hasWarm(await beforePool(bench, id), () => true),
};

/** Another lease has the one machine. */
const queuing: Way = {
  before: async (bench, id) => {
    const pool = await beforePool(bench, id);
    await untilReady(await pool.lease({ leaseId: `u-${id}` }));
  },
  until: ({ point }) => patiently('the lease waits for its turn', () => point.seen > 0),
  // Another pool of the name, or none, knows nothing of who waits.
  drive: async ({ bench, cell, leaseId: id }) =>
    cell.side === 'after' ? poolFor(bench, id).handle.terminate('by hand') : undefined,
  finish: ({ bench, leaseId: id }) => bench.client.workflow.getHandle(`lease/u-${id}`).signal('cancel', {}),
};

const watching: Way = {
  before: claiming.before ?? fail,
  prepare: (world) => world.hold('followTask'),
  until: async ({ point, world }) => {
    await patiently('the lease watches its machine', () => point.seen > 0);
    await world.isHeld('followTask');
  },
  drive: async ({ bench, cell, leaseId: id }) => {
    if (cell.side !== 'after') return;
    poolWorldOf(bench, id).orphans.add(pooledMachine(id));
    await bench.client.workflow.getHandle(machineWorkflowId(pooledMachine(id))).terminate('by hand');
  },
  finish: async ({ cell, handle, world }) => {
    // Nobody else tells the lease of its machine for the next five minutes: a person ends it.
    if (cell.side === 'after' && cell.what === 'failsForGood') await handle.signal('cancel', { reason: 'it hangs' });
    if (cell.side === 'before' || cell.what === 'terminated') world.letGo('followTask');
  },
};

export const pooledLeaseWays: Ways = {
  claimMachine: claiming,
  watchClaim: queuing,
  watchChildren: watching,
};
