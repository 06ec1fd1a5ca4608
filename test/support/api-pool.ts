import type { PoolSettings } from '../../src/domain/pool.ts';
import type { ApiBench } from '../api/api-bench.ts';
import { pooledPlan } from './pool-bench.ts';

/** A pool of the bundle `hello` beside the API, whose leases ask it from then on; `stop` gives it and them up. */
export async function startApiPool(
  { client, taskQueue, world }: ApiBench,
  name: string,
  settings: Partial<PoolSettings> = {},
): Promise<{ readonly stop: () => Promise<void> }> {
  const { plan, tuning, workflows } = world;
  world.workflows = client.workflow;
  world.plan = pooledPlan(name);
  const declared = { settings: { bundle: 'hello', target: 1, ceiling: 2, ...settings }, plan: world.plan, tuning };
  const handle = await client.workflow.start('pool', {
    workflowId: `pool/${name}`,
    taskQueue,
    args: [{ name, declared }],
  });
  return {
    stop: async () => {
      await handle.signal('retract', { why: 'the test is over' });
      await handle.result();
      Object.assign(world, { plan, workflows });
    },
  };
}
