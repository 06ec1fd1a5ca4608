import {
  fileWorkflowId,
  keyWorkflowId,
  leaseWorkflowId,
  machineWorkflowId,
  notifyWorkflowId,
  poolWorkflowId,
  providerKey,
  taskWorkflowId,
} from '../../src/domain/ids.ts';
import type { MachineInput } from '../../src/domain/machine.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { update } from './updates.ts';
import { allowedOf } from './allowed.ts';
import type { SagaBench } from './bench.ts';
import type { LifeName } from './cells.ts';
import { isRefused, isTold } from './kinds.ts';
import { outcomeOf } from './outcome.ts';
import type { Run } from './run.ts';
import { firstMachine, giveBack, openGates, requestOf, taskSpec, ways, type Way } from './ways.ts';
import { isWarmAgain, pooledMachine, poolFor } from './ways-pool.ts';

/** How a life is begun and brought to its end. */
export interface Life {
  /** What is cancelled or terminated. */
  readonly target: (id: string) => string;
  /** Whether the activities of that workflow are meant. */
  readonly isMeant: (id: string, workflowId: string) => boolean;
  readonly world: (bench: Pick<SagaBench, 'world'>, id: string) => FakeWorld;
  readonly start: (run: Run) => Promise<void>;
  /** After the fault. */
  readonly settle: (run: Run) => Promise<void>;
  /** What became of others, in words. */
  readonly others: (run: Run) => Promise<string>;
}

export const wayOf = ({ cell }: Pick<Run, 'cell'>): Way => {
  const way = ways[cell.life][cell.activity];
  if (!way) throw new Error(`${cell.life} has no cells at ${cell.activity}`);
  return way;
};

const only =
  (target: (id: string) => string) =>
  (id: string, workflowId: string): boolean =>
    workflowId === target(id);
const ownWorld: Life['world'] = (bench, id) => bench.world(id);
const poolWorld: Life['world'] = (bench, id) => bench.world(poolWorkflowId(id));
const nothing = (): Promise<string> => Promise.resolve('');
const leaseToo = async ({ handle }: Run): Promise<string> => `; lease ${await outcomeOf(handle)}`;
const ended = async (handle: Run['handle']): Promise<void> => {
  await handle.result().catch(() => undefined);
};

async function startLease(run: Run): Promise<void> {
  const { bench, cell, handle, leaseId } = run;
  await bench.start('lease', handle.workflowId, { leaseId, bundle: 'hello', ...requestOf(cell) });
  // It is taken before ready, and started then.
  if (wayOf(run).task && taskIdOf(cell.life) !== 'job') await update(run, 'runTask', { taskId: 'a', spec: taskSpec });
}

async function settleLease(run: Run): Promise<void> {
  const { bench, cell, handle, target } = run;
  const way = wayOf(run);
  if (way.finish) await way.finish(run);
  else openGates(run);
  if (taskIdOf(cell.life) !== 'job' && !way.endsItself?.(cell)) await giveBack(run);
  await ended(target);
  await ended(handle);
  await bench.childrenClosed(run);
}

export const taskIdOf = (life: LifeName): string =>
  life === 'lease with a job' || life === 'pooled lease' ? 'job' : 'a';

/** Its pool, its machines and who has one of them besides. */
async function endPool({ bench, leaseId: id }: Run): Promise<void> {
  const { handle, world } = poolFor(bench, id);
  await bench.client.workflow
    .getHandle(leaseWorkflowId(`u-${id}`))
    .signal('cancel', {})
    .catch(() => undefined);
  await handle.signal('retract', { why: 'the cell is over' }).catch(() => undefined);
  await ended(handle);
  for (const { machineId } of world.machines.values()) await bench.closed(machineWorkflowId(machineId));
}

const lease = (target: (id: string) => string, isMeant: Life['isMeant'], others: Life['others']): Life => ({
  target,
  isMeant,
  world: ownWorld,
  start: startLease,
  settle: settleLease,
  others,
});
/** Told to end, it ends; what it has is another's to tell. */
const machineOfTerminated = async ({ bench, cell, leaseId }: Run): Promise<string> =>
  cell.what === 'terminated' ? `; ${await bench.machineOf(leaseId)}` : '';
const anyOfLease = (id: string, workflowId: string): boolean =>
  workflowId === leaseWorkflowId(id) || workflowId.startsWith(`machine/${id}.`) || workflowId.startsWith(`task/${id}/`);

/** Nobody else has a part in it. */
const alone = (target: (id: string) => string, start: Life['start'], settle: Life['settle'] = endedTarget): Life => ({
  target,
  isMeant: only(target),
  world: ownWorld,
  start,
  settle,
  others: nothing,
});
function endedTarget({ target }: Run): Promise<void> {
  return ended(target);
}

const machineTarget = (id: string): string => machineWorkflowId(firstMachine(id));
const poolMachineTarget = (id: string): string => machineWorkflowId(pooledMachine(id));
const taskTarget = (id: string): string => taskWorkflowId(id, 'a');
const keyTarget = (id: string): string => keyWorkflowId(id, 'k');

/** What is left of a machine whose workflow is no more. */
function orphaned({ leaseId: id, world }: Run): string {
  const key = providerKey(firstMachine(id), id);
  world.machines.set(key, { machineId: firstMachine(id), leaseId: id, provider: 'fake', state: 'made', generation: 1 });
  return key;
}
const orphanInput = (id: string, key: string): MachineInput => ({
  machineId: firstMachine(id),
  leaseId: id,
  provider: 'fake',
  variant: 0,
  birth: id,
  key,
  plan: fakePlan(),
  ttlMs: 0,
  tuning: { reclaimWithinMs: 600_000, stuckRetryMs: 300, legMs: 60_000 },
  reclaimOnly: {},
});

const noticeOf = (leaseId: string) => ({
  leaseId,
  event: 'ready',
  webhookId: `${leaseId}-ready`,
  target: { url: 'http://127.0.0.1:9/', secret: 'hook' },
  body: { type: 'lease.ready', timestamp: '2026-01-01T00:00:00.000Z', data: {} },
});

const settings = { schedule: [{ cron: '0 3 * * *', forMs: 60_000, target: 1 }] };

export const lives: Readonly<Record<LifeName, Life>> = {
  'lease with a job': lease(leaseWorkflowId, anyOfLease, machineOfTerminated),
  'held lease': lease(leaseWorkflowId, anyOfLease, machineOfTerminated),
  'pooled lease': {
    ...lease(leaseWorkflowId, only(leaseWorkflowId), nothing),
    async settle(run) {
      await settleLease(run);
      await endPool(run);
    },
  },
  machine: lease(machineTarget, only(machineTarget), leaseToo),
  'pool machine': {
    target: poolMachineTarget,
    isMeant: only(poolMachineTarget),
    world: poolWorld,
    start: async ({ bench, leaseId: id }) => void (await poolFor(bench, id).declare()),
    async settle(run) {
      const other = allowedOf(run.cell).some((outcome) => outcome.endsWith('; another machine'));
      if (run.cell.activity !== 'destroyMachine') await isWarmAgain(run, other);
      await endPool(run);
      await ended(run.target);
    },
    others: ({ world }) => Promise.resolve(world.machines.size > 1 ? '; another machine' : '; no other machine'),
  },
  pool: {
    target: poolWorkflowId,
    isMeant: only(poolWorkflowId),
    world: poolWorld,
    start: async ({ bench, cell, leaseId: id }) =>
      void (await poolFor(bench, id, cell.activity === 'planSchedule' ? settings : {}).declare()),
    async settle(run) {
      const { activity, side, what } = run.cell;
      // Nobody tells it of its machine for the next five minutes.
      const isBlind = activity === 'watchChildren' && side === 'after' && isRefused(run.cell);
      if (!isTold(what) && !isBlind) await isWarmAgain(run, activity === 'watchChildren' && side === 'after');
      await endPool(run);
    },
    others: nothing,
  },
  task: lease(taskTarget, only(taskTarget), leaseToo),
  file: alone(
    (id) => fileWorkflowId(id, 'f'),
    ({ bench, leaseId, target }) =>
      bench.start('file', target.workflowId, {
        leaseId,
        fileId: 'f',
        order: { put: { blob: 'b'.repeat(64), path: '/etc/motd' } },
      }),
  ),
  key: {
    ...alone(
      keyTarget,
      ({ bench, leaseId, target }) =>
        bench.start('key', target.workflowId, {
          leaseId,
          publicKey: 'ssh-ed25519 AAAA',
          untilMs: Date.now() + 3_600_000,
        }),
      async ({ target }) => {
        await target.signal('leave').catch(() => undefined);
        await ended(target);
      },
    ),
    others: ({ world }) => Promise.resolve(world.keys.size > 0 ? '; the key goes with its machine' : ''),
  },
  notification: {
    ...alone(
      (id) => notifyWorkflowId(id, 'ready'),
      ({ bench, leaseId, target }) => bench.start('notify', target.workflowId, noticeOf(leaseId)),
    ),
    others: ({ leaseId, world }) => {
      const strange = world.told.filter(({ webhookId }) => webhookId !== noticeOf(leaseId).webhookId);
      if (strange.length > 0) throw new Error(`told under another id: ${JSON.stringify(strange)}`);
      return Promise.resolve(world.told.length > 0 ? '; told' : '');
    },
  },
  sweep: alone(
    (id) => `sweep/${id}`,
    (run) => {
      orphaned(run);
      return run.bench.sweep(run.target.workflowId, run.leaseId);
    },
  ),
  orphan: alone(machineTarget, (run) =>
    run.bench.start('machine', run.target.workflowId, orphanInput(run.leaseId, orphaned(run))),
  ),
};
