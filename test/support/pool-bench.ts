import { randomUUID } from 'node:crypto';
import type { Plan } from '../../src/domain/bundle.ts';
import { poolWorkflowId } from '../../src/domain/ids.ts';
import type { LeaseRequest } from '../../src/domain/lease.ts';
import type { PoolStatus } from '../../src/domain/pool-status.ts';
import type { PoolDeclaration, PoolSettings } from '../../src/domain/pool.ts';
import type { pool } from '../../src/workflows/pool.ts';
import { fakePlan } from './fake-plan.ts';
import type { FakeWorld } from './fake-world.ts';
import type { LeaseBench, Leased } from './lease-bench.ts';
import { until } from './until.ts';

/** The plan of a bundle that a pool keeps machines of, as a lease with so many steps of its own has it. */
export const pooledPlan = (name: string, change: Partial<Plan> = {}, version = 'd'): Plan => {
  const plan = fakePlan(change);
  return { ...plan, pool: { name, digest: version.repeat(64), steps: plan.steps.length } };
};

/** Pools over the fake worlds of a bench: each has the world `pool/<name>` for its machines. */
export type PoolTestBench = Pick<LeaseBench, 'client' | 'taskQueue' | 'world' | 'lease' | 'isClosed'>;

export function createPool(bench: PoolTestBench, settings: Partial<PoolSettings> = {}, given?: string) {
  const name = given ?? `p-${randomUUID().slice(0, 8)}`;
  const workflowId = poolWorkflowId(name);
  const world: FakeWorld = bench.world(workflowId);
  world.plan = pooledPlan(name);
  const declared = (change: Partial<PoolSettings> = {}, rest: Partial<PoolDeclaration> = {}): PoolDeclaration => ({
    settings: { bundle: 'hello', target: 2, ceiling: 4, ...settings, ...change },
    plan: world.plan,
    tuning: world.tuning,
    ...rest,
  });
  const handle = bench.client.workflow.getHandle<typeof pool>(workflowId);
  const status = (): Promise<PoolStatus> => handle.query<PoolStatus>('status');
  const count = async (phase: PoolStatus['machines'][number]['phase']): Promise<number> =>
    (await status()).machines.filter((machine) => machine.phase === phase).length;
  return {
    name,
    world,
    handle,
    workflowId,
    declared,
    status,
    count,
    /** As who reads the settings does it. */
    declare: (change: Partial<PoolSettings> = {}, rest: Partial<PoolDeclaration> = {}) =>
      bench.client.workflow.signalWithStart<typeof pool, [PoolDeclaration]>('pool', {
        workflowId,
        taskQueue: bench.taskQueue,
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        args: [{ name }],
        signal: 'declare',
        signalArgs: [declared(change, rest)],
      }),
    warm: (machines: number) =>
      until(`${machines} warm machines in pool ${name}`, async () => (await count('warm')) === machines),
    update: (what: 'set' | 'drain', body: unknown): Promise<PoolStatus> =>
      handle.executeUpdate<PoolStatus, [unknown]>(what, { args: [body] }),
    /** A lease of the pool's bundle, with as many steps of its own as said. */
    lease: (
      request: Partial<LeaseRequest> = {},
      ownSteps = 0,
      prepare: (of: FakeWorld) => void = () => undefined,
      owner?: string,
    ): Promise<Leased> => {
      const inWorld = (own: FakeWorld): void => {
        const { plan } = world;
        const step = { title: 'own', limitMs: 60_000, allowFailure: false };
        own.plan = {
          ...plan,
          ...(ownSteps === 0 ? {} : { bundle: { name: 'hello', digest: 'o'.repeat(64) } }),
          steps: [...plan.steps, ...Array.from({ length: ownSteps }, () => step)],
        };
        own.tuning = world.tuning;
        own.pool = world;
        prepare(own);
      };
      return bench.lease(request, inWorld, owner);
    },
    /** It is not declared any more; resolves when the last of its machines is gone. */
    async end(): Promise<void> {
      await handle.signal('retract', { why: 'the test is over' });
      await handle.result();
      if (world.owned().length > 0) throw new Error(`Owned after the end of pool ${name}: ${world.owned().join(', ')}`);
    },
  };
}
