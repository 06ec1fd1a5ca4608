import { setTimeout as pause } from 'node:timers/promises';
import { leaseEndStates, type LeaseRequest } from '../src/domain/lease.ts';
import { beaconFunction } from '../test/support/beacon.ts';
import { sha256, type View } from '../test/support/stack.ts';
import { fileBytes, partScript } from './bytes.ts';
import { restMs, type LeasePlan } from './plan.ts';
import type { World } from './world.ts';

/** What a lease may take, with all that is done to it. Then it is stuck. */
const leaseWithinMs = 600_000;

/** Brings one lease through its life. What it finds wrong goes to the world's problems. */
export async function drive(plan: LeasePlan, world: World): Promise<void> {
  const { leaseId } = plan;
  const late = AbortSignal.timeout(leaseWithinMs);
  try {
    await lives[plan.shape]?.(plan, world);
    if (plan.shape === 'terminated') return;
    for (;;) {
      if (isOver(await world.stack.wait(leaseId, 'ended'))) return;
      late.throwIfAborted();
    }
  } catch (error) {
    world.problems.push(`${leaseId}: ${error instanceof Error ? error.message : String(error)}`);
    // Nobody ends it else, and what is left would say nothing new.
    await world.stack.post(`/v1/leases/${leaseId}/cancel`).catch(() => undefined);
  }
}

const isOver = ({ state }: View): boolean => (leaseEndStates as readonly string[]).includes(state);

type Life = (plan: LeasePlan, world: World) => Promise<void>;

const withJob =
  (more: (plan: LeasePlan, world: World) => Partial<LeaseRequest> = () => ({}), during?: Life): Life =>
  async (plan, world) => {
    const { stack, expected } = world;
    expected.push({ plan, taskId: 'job', before: '' });
    const { job, ...rest } = more(plan, world);
    const { leaseId } = plan;
    await stack.create({ leaseId, bundle: plan.bundle, job: { ...task(plan, 'job', world), ...job }, ...rest });
    // Nobody can say how the job of a terminated lease goes on.
    const looksOn = plan.shape === 'terminated' ? undefined : lookOn(plan, 'job', world);
    await Promise.all([looksOn, during?.(plan, world)]);
  };

async function lookOn({ leaseId }: LeasePlan, taskId: string, { stack, followed }: World): Promise<void> {
  try {
    followed.set(`${leaseId}/${taskId}`, await stack.follow(leaseId, taskId));
  } catch (error) {
    // Of a lease that ended before it had a machine there never was such a task.
    const isOverNow = isOver(await stack.get(leaseId));
    if (!isOverNow || !(error instanceof Error) || !error.message.includes(': 404 ')) throw error;
  }
}

/** Without a job: held for tasks, one after another. */
const withTasks =
  (more: Partial<LeaseRequest>, prepare: (plan: LeasePlan, world: World) => Promise<string>): Life =>
  async (plan, world) => {
    const { stack } = world;
    const { leaseId } = plan;
    await stack.create({ leaseId, bundle: plan.bundle, ...more });
    let view = await stack.wait(leaseId, 'ready');
    while (view.state === 'acquiring') view = await stack.wait(leaseId, 'ready');
    const first = isOver(view) ? '' : await prepare(plan, world);
    for (let n = 1; n <= plan.tasks; n += 1) {
      const taskId = `task${n}`;
      try {
        await stack.runTask(leaseId, taskId, task(plan, taskId, world, { before: first }));
      } catch (error) {
        // An ending lease takes no more.
        if (isOver(await stack.wait(leaseId, 'ended'))) return;
        throw error;
      }
      world.expected.push({ plan, taskId, before: '' });
      await lookOn(plan, taskId, world);
    }
    if (more.ttlMs === undefined) await unlessOver(plan, world, () => stack.post(`/v1/leases/${leaseId}/release`));
  };

const afterwards =
  (act: (plan: LeasePlan, world: World) => Promise<unknown>): Life =>
  async (plan, world) => {
    await pause(plan.afterMs);
    await unlessOver(plan, world, () => act(plan, world));
  };

async function unlessOver({ leaseId }: LeasePlan, { stack }: World, act: () => Promise<unknown>): Promise<void> {
  for (;;) {
    try {
      await act();
      return;
    } catch (error) {
      const view = await stack.get(leaseId).catch(() => undefined);
      if (view && isOver(view)) return;
      // Not begun yet, or not ready for it: asked again, as a person would.
      if (!(error instanceof Error) || !/: (400|404|409|410) /.test(error.message)) throw error;
      await pause(200);
    }
  }
}

const lives: Readonly<Record<LeasePlan['shape'], Life>> = {
  job: withJob(),
  big: withJob(),
  steps: withJob(() => ({ bundle: 'stepped' })),
  async files(plan, world) {
    const bytes = fileBytes(plan);
    const blob = await world.stack.blob(bytes);
    const before = `${sha256(bytes)}  -\n`;
    world.expected.push({ plan, taskId: 'job', before });
    const files = [{ blob, sha256: blob, path: '~/brought', mode: '0600' }];
    const job = task(plan, 'job', world, { before: 'sha256sum <~/brought; ' });
    await world.stack.create({ leaseId: plan.leaseId, bundle: plan.bundle, files, job });
  },
  async stdin(plan, world) {
    const bytes = fileBytes(plan);
    const blob = await world.stack.blob(bytes);
    world.expected.push({ plan, taskId: 'job', before: bytes.toString() });
    const job = { ...task(plan, 'job', world, { before: 'cat; ' }), stdin: { blob } };
    await world.stack.create({ leaseId: plan.leaseId, bundle: plan.bundle, job });
  },
  async failing({ leaseId }, { stack }) {
    await stack.create({ leaseId, bundle: 'failing' });
  },
  async kept({ leaseId, afterMs }, { stack }) {
    await stack.create({ leaseId, bundle: 'failing', attempts: 1, holdOnFailureMs: 1_000 + afterMs });
  },
  held: withTasks({}, async () => ''),
  extended: withTasks({ ttlMs: 5_000 }, async (plan, world) => {
    const extend = () => world.stack.post(`/v1/leases/${plan.leaseId}/extend`, { byMs: plan.afterMs + 1_000 });
    await unlessOver(plan, world, extend);
    await unlessOver(plan, world, extend);
    return '';
  }),
  expired: withJob(() => ({ ttlMs: 4_000 })),
  limited: withJob((plan, world) => ({ job: { ...task(plan, 'job', world), limitMs: 1_500, graceMs: 500 } })),
  cancelled: withJob(
    undefined,
    afterwards(({ leaseId }, { stack }) => stack.post(`/v1/leases/${leaseId}/cancel`)),
  ),
  'task-cancelled': withJob(
    undefined,
    afterwards(({ leaseId }, { stack }) => stack.post(`/v1/leases/${leaseId}/tasks/job/cancel`)),
  ),
  terminated: withJob(undefined, async ({ leaseId, afterMs }, { stack }) => {
    await pause(afterMs);
    // The server may be away just now.
    for (let done = false; !done;) {
      await pause(100);
      const handle = stack.client.workflow.getHandle(`lease/${leaseId}`);
      await handle.terminate('chaos').catch(() => undefined);
      done = await handle.describe().then(
        ({ status }) => status.name !== 'RUNNING',
        () => false,
      );
    }
  }),
  rebooted: withJob((plan, world) =>
    world.ownBoot ? { job: task(plan, 'job', world, { middle: 'reboot -f; sleep 60' }) } : {},
  ),
  'full-disk': withJob((plan, world) => ({
    bundle: 'small',
    job: task(plan, 'job', world, {
      before: `trap '' PIPE; `,
      middle: world.ownBoot ? 'head -c 60M /dev/zero >~/fill 2>/dev/null' : ':',
    }),
  })),
  // What a clock that is set does to the age of all that was done before.
  'clock-jump': withTasks(
    {},
    async () => 'touch -d 2001-01-01 /var/lib/slipway/gone/* ~/.slipway/gone/* 2>/dev/null; ',
  ),
};

/** Shows what an earlier lease has left on the machine, which is nothing, and leaves a file and a process itself. */
const trace = (name: string): string =>
  `cat ~/left 2>/dev/null; echo left of ${name} >~/left; setsid sleep 3600 <&- >/dev/null 2>&1 & `;

/** Reports that it begins, then writes its parts; `middle` comes between two of them. */
function task(
  plan: LeasePlan,
  taskId: string,
  world: World,
  { before = '', middle = ':' }: { readonly before?: string; readonly middle?: string } = {},
): { readonly command: readonly string[] } {
  const { parts, exitCode, leaseId } = plan;
  const isFirst = taskId === 'job' || taskId === 'task1';
  const script =
    `${beaconFunction(world.beacon.port)} beacon ${leaseId}/${taskId}; ` +
    `${isFirst ? trace(`${leaseId}/${taskId}`) : ''}${before}n=0; ` +
    `while [ $n -lt ${parts} ]; do ${partScript(plan, taskId)} n=$((n + 1)); ` +
    `if [ $n = ${Math.ceil(parts / 2)} ]; then ${middle}; fi; sleep ${restMs / 1_000}; done; exit ${exitCode}`;
  return { command: ['bash', '-c', script] };
}
