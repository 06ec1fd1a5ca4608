import { randomUUID } from 'node:crypto';
import type { Plan } from '../../src/domain/bundle.ts';
import { machineWorkflowId, poolMachineIdOf, quotaWorkflowId } from '../../src/domain/ids.ts';
import type { LeaseStatus } from '../../src/domain/lease.ts';
import type { ReclaimPolicy } from '../../src/domain/reuse.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { LeaseBench, Leased } from '../support/lease-bench.ts';
import { createPool, pooledPlan } from '../support/pool-bench.ts';
import { until } from '../support/until.ts';

/** A lease, and who else lived with it. */
export interface Kept {
  readonly leased: Leased;
  readonly others: readonly string[];
}

const step = { title: 'install', limitMs: 60_000, allowFailure: false };
const job = { command: ['true'] };

const ready = ({ handle }: Leased): Promise<void> =>
  until('the lease is ready', async () => {
    // It answers early when its run continues as new.
    const { state } = await handle.executeUpdate<LeaseStatus, [unknown]>('waitReady', { args: [{}] });
    return state === 'ready';
  });
const release = ({ handle }: Leased): Promise<unknown> => handle.executeUpdate('release', { args: [{}] });
const queued = (bench: LeaseBench, { leaseId }: Leased): Promise<void> =>
  until('it waits', async () => {
    const { queue, attempts } = await bench.status(leaseId);
    return queue !== undefined || attempts[0]?.waiting !== undefined;
  });

/** One machine serves two leases, the second of which waited for it; a third gives up. */
async function pooled(bench: LeaseBench, reclaim: ReclaimPolicy): Promise<Kept> {
  const pool = createPool(bench, { target: 1, ceiling: 1 });
  pool.world.plan = pooledPlan(pool.name, { steps: [step], ...(reclaim === 'destroy' ? {} : { reclaim }) });
  await pool.declare();
  await pool.warm(1);
  const first = await pool.lease({}, 1);
  await ready(first);
  const second = await pool.lease({ job });
  await queued(bench, second);
  const third = await pool.lease();
  await queued(bench, third);
  await third.handle.signal('cancel', {});
  await third.handle.result();
  await release(first);
  await second.handle.result();
  await pool.warm(1);
  await pool.end();
  const machines = Array.from({ length: pool.world.machines.size }, (_, n) => poolMachineIdOf(pool.name, n + 1));
  const others = [first, third].map(({ handle }) => handle.workflowId);
  return { leased: second, others: [pool.workflowId, ...machines.map(machineWorkflowId), ...others] };
}

/** Lives of leases that share something: a pool, the quota of an account. */
export const keptLives: Readonly<Record<string, (bench: LeaseBench) => Promise<Kept>>> = {
  pool: (bench) => pooled(bench, 'destroy'),
  'pool-reset': (bench) => pooled(bench, 'reset'),
  'pool-reload': (bench) => pooled(bench, 'reload'),
  strayed: async (bench) => {
    const pool = createPool(bench, { target: 0, ceiling: 1 });
    await pool.declare();
    const leased = await pool.lease();
    await ready(leased);
    await pool.handle.terminate('by hand');
    await pool.declare();
    const { leaseId } = leased;
    // The next pool is asked for a lease that has its machine.
    const claim = { leaseId, attempt: 1, owner: 'unknown', priority: 0, digest: 'd'.repeat(64), ttlMs: 60_000 };
    await pool.handle.executeUpdate('claim', { args: [claim] });
    await until('it is made', () => pool.world.machines.size === 2);
    await until('it is given back', () => pool.world.owned().length === 1);
    await release(leased);
    await leased.handle.result();
    await pool.end();
    const machines = [1, 2].map((n) => machineWorkflowId(poolMachineIdOf(pool.name, n)));
    return { leased, others: [pool.workflowId, ...machines] };
  },
  quota: async (bench) => {
    const account = `account-${randomUUID().slice(0, 8)}`;
    const lease = (): Promise<Leased> =>
      bench.lease({ job }, (world) => {
        world.plan = fakePlan({ quotas: [{ account, place: 'fake', cores: 1, memoryMb: 0 }] });
        world.quotas = new Map([[account, { machines: 1 }]]);
        world.hold('followTask');
      });
    const first = await lease();
    await first.world.isHeld('followTask');
    const second = await lease();
    await queued(bench, second);
    first.world.letGo('followTask');
    await first.handle.result();
    await second.world.isHeld('followTask');
    second.world.letGo('followTask');
    await second.handle.result();
    await bench.over(first);
    return { leased: second, others: [quotaWorkflowId(account)] };
  },
  'fast-create': async (bench) => ({
    leased: await bench.lease({ job }, (world) => (world.atOnce = true)),
    others: [],
  }),
  collecting: async (bench) => {
    const path = '~/report';
    const leased = await bench.lease({ job, collect: [path, '~/none'], holdAfterJobMs: 3_600_000 }, (world) =>
      world.files.set(path, { path, bytes: 3, sha256: 'f'.repeat(64), tree: false }),
    );
    await until('it is collected', async () => (await bench.status(leased.leaseId)).collected !== undefined);
    await release(leased);
    return { leased, others: [] };
  },
  'watched-gate': async (bench) => {
    const leased = await bench.lease({}, (world) => (world.plan = fakePlan({ gate: 'manual' })));
    await until('somebody watches', () => leased.world.count('watchMachine') > 0);
    await leased.handle.signal('markReady', {});
    await ready(leased);
    await release(leased);
    return { leased, others: [] };
  },
  'gate-all': (bench) => gated(bench, { gate: 'all' }, (leased) => leased.handle.signal('markReady', {})),
  'gate-any': (bench) => gated(bench, { gate: 'any' }, (leased) => leased.handle.signal('markReady', {})),
  'gate-check-in': (bench) =>
    gated(bench, { gate: 'all', gateParts: ['command', 'checkin'] }, async (leased) => {
      const { key, generation } = await bench.machineStatus(leased.leaseId);
      await bench.machine(leased.leaseId).signal('markReady', { result: 0, guest: { key, generation, source: '::1' } });
    }),
};

/** A word comes while the commands run; where any is enough they are cut off by it. */
async function gated(
  bench: LeaseBench,
  gate: Pick<Plan, 'gate' | 'gateParts'>,
  say: (leased: Leased) => Promise<void>,
): Promise<Kept> {
  const leased = await bench.lease({}, (world) => {
    world.plan = fakePlan(gate);
    world.hold('awaitGate');
  });
  await leased.world.isHeld('awaitGate');
  await say(leased);
  if (gate.gate === 'all') leased.world.letGo('awaitGate');
  await ready(leased);
  await release(leased);
  return { leased, others: [] };
}
