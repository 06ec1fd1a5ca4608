import { jobTaskId, machineIdOf } from './ids.ts';
import { isOutstanding, queueOf } from './lease-claim.ts';
import type { LeaseResult, LeaseState, LeaseStatus, LeaseTimes, TaskSummary } from './lease.ts';
import { attemptsSpent } from './lease-attempts.ts';
import { collectByMs, collectedOf, jobHasEnded, mayCollect } from './lease-collect.ts';
import type { LeaseLife } from './lease-life.ts';
import type { LeaseTask } from './lease-task.ts';
import { defaultGraceMs } from './task.ts';

/** After a task's own grace and KILL: how long an ending lease waits for its word before it calls the task lost. */
export const taskEndPatienceMs = 30_000;

export const attemptsOf = (life: LeaseLife): number => life.request.attempts ?? life.plan?.attempts ?? 1;
export const openTasks = (life: LeaseLife): readonly LeaseTask[] => life.tasks.filter((task) => task.phase !== 'ended');

/** The one instant at which a lease must act by itself. */
export function leaseDeadlineMs(life: LeaseLife): number | undefined {
  if (life.ending) {
    const at = Math.min(tasksEndByMs(life, life.ending.sinceMs), collectByMs(life));
    return at === Infinity ? undefined : at;
  }
  if (life.readyMs === undefined) return life.machine?.phase === 'held' ? undefined : life.acquireByMs;
  return Math.min(life.expiresMs ?? Infinity, life.heldUntilMs ?? Infinity, collectByMs(life));
}

/** When the open tasks of an ending lease are given up. */
function tasksEndByMs(life: LeaseLife, sinceMs: number): number {
  const open = openTasks(life);
  if (open.length === 0) return Infinity;
  return sinceMs + Math.max(...open.map((task) => task.spec.graceMs ?? defaultGraceMs)) + taskEndPatienceMs;
}

/** What the lease does next; undefined: wait for news. Pure. */
export type LeaseAction =
  | { readonly do: 'resolve' }
  /** Asks the bundle's pool for a machine. */
  | { readonly do: 'claim'; readonly attempt: number; readonly last: boolean }
  | { readonly do: 'withdraw'; readonly attempt: number }
  | { readonly do: 'startMachine'; readonly machineId: string; readonly last: boolean }
  | { readonly do: 'startTask'; readonly task: LeaseTask }
  | { readonly do: 'tellTask'; readonly taskId: string; readonly what: 'cancel' | 'lost' }
  | { readonly do: 'collect' }
  | { readonly do: 'releaseMachine'; readonly machineId: string }
  | { readonly do: 'releaseStray'; readonly machineId: string }
  | { readonly do: 'extendMachine'; readonly machineId: string; readonly untilMs: number }
  | { readonly do: 'tellReady' }
  | { readonly do: 'finish' };

const oweReady = ({ request, readyMs, readyTold }: LeaseLife): boolean =>
  request.notify !== undefined && readyMs !== undefined && !readyTold;

export function nextLeaseAction(life: LeaseLife): LeaseAction | undefined {
  const machine = life.machine;
  const alive = machine && machine.phase !== 'ended';
  const stray = life.strays?.[0];
  if (stray !== undefined) return { do: 'releaseStray', machineId: stray };
  if (life.ending) {
    const what = alive && machine.phase !== 'lost' ? 'cancel' : 'lost';
    const untold = openTasks(life).find((task) => task.asked !== what && task.asked !== 'lost');
    if (untold) return { do: 'tellTask', taskId: untold.taskId, what };
    if (openTasks(life).length > 0) return undefined;
    if (life.collecting) return undefined;
    if (mayCollect(life)) return { do: 'collect' };
    if (life.claim && isOutstanding(life)) return { do: 'withdraw', attempt: life.claim.attempt };
    // One that was granted and has not come yet is its pool's to take back.
    const had = alive && machine.phase !== 'asked' && !machine.promised;
    if (had && !machine.releaseAsked) return { do: 'releaseMachine', machineId: machine.machineId };
    if (had && !machine.accepted) return undefined;
    return oweReady(life) ? { do: 'tellReady' } : { do: 'finish' };
  }
  if (!life.plan) return { do: 'resolve' };
  if (!alive) {
    const attempt = life.attempts.length + 1;
    const last = attemptsSpent(life) + 1 >= attemptsOf(life);
    if (life.plan.pool) {
      if (life.claim?.attempt !== attempt) return { do: 'claim', attempt, last };
      if (life.claim.state !== 'none') return undefined;
    }
    return { do: 'startMachine', machineId: machineIdOf(life.request.leaseId, attempt), last };
  }
  if (jobHasEnded(life) && mayCollect(life)) return { do: 'collect' };
  const { expiresMs } = life;
  if (life.extendedBy.length > 0 && expiresMs !== undefined && machine.toldMs !== expiresMs && !machine.promised) {
    return { do: 'extendMachine', machineId: machine.machineId, untilMs: expiresMs };
  }
  const fresh = machine.phase === 'ready' ? life.tasks.find((task) => task.phase === 'accepted') : undefined;
  if (fresh) return { do: 'startTask', task: fresh };
  return oweReady(life) ? { do: 'tellReady' } : undefined;
}

/** The word for people and for the search attribute. */
export function leaseStateOf(life: LeaseLife): LeaseState {
  if (life.endedMs !== undefined && life.ending) return life.ending.state;
  if (life.ending) return 'releasing';
  if (life.machine?.phase === 'held' || life.heldUntilMs !== undefined) return 'held';
  if (life.readyMs === undefined) return 'acquiring';
  return openTasks(life).length > 0 ? 'working' : 'ready';
}

export function taskSummary(task: LeaseTask): TaskSummary {
  return {
    taskId: task.taskId,
    state: task.result?.state ?? (task.phase === 'accepted' ? 'pending' : 'running'),
    command: task.spec.command,
    ...(task.startedAtMs === undefined ? {} : { startedAt: new Date(task.startedAtMs).toISOString() }),
    ...(task.result ? { result: task.result } : {}),
  };
}

const iso = (ms: number): string => new Date(ms).toISOString();

export function leaseTimesOf(life: LeaseLife): LeaseTimes {
  return {
    requested: iso(life.requestedMs),
    ...(life.readyMs === undefined ? {} : { ready: iso(life.readyMs) }),
    ...(life.expiresMs === undefined ? {} : { expires: iso(life.expiresMs) }),
    ...(life.ending ? { releasing: iso(life.ending.sinceMs) } : {}),
    ...(life.endedMs === undefined ? {} : { ended: iso(life.endedMs) }),
  };
}

const bundleOf = (life: LeaseLife): LeaseStatus['bundle'] => life.plan?.bundle ?? { name: life.request.bundle };

export function leaseStatusOf(life: LeaseLife): LeaseStatus {
  const reason = life.ending?.reason;
  const queue = life.ending ? undefined : queueOf(life);
  const access = life.machine?.phase === 'ended' ? undefined : life.machine?.access;
  const collected = collectedOf(life);
  return {
    leaseId: life.request.leaseId,
    state: leaseStateOf(life),
    bundle: bundleOf(life),
    ...(life.owner === undefined ? {} : { owner: life.owner }),
    ...(reason ? { reason } : {}),
    attempts: life.attempts,
    ...(queue ? { queue } : {}),
    times: leaseTimesOf(life),
    ...(access ? { access } : {}),
    tasks: life.tasks.map(taskSummary),
    ...(collected ? { collected } : {}),
    ...(life.request.parameters ? { parameters: life.request.parameters } : {}),
    ...(life.request.metadata ? { metadata: life.request.metadata } : {}),
    ...(life.request.notify ? { notify: { to: new URL(life.request.notify.url).origin } } : {}),
    ...(life.refused.length > 0 ? { refused: life.refused } : {}),
  };
}

/** The published result, at the end of a lease. */
export function leaseResultOf(life: LeaseLife): LeaseResult {
  const job = life.request.job ? life.tasks.find((task) => task.taskId === jobTaskId)?.result : undefined;
  const reason = life.ending?.reason;
  const collected = collectedOf(life);
  return {
    leaseId: life.request.leaseId,
    state: life.ending?.state ?? 'failed',
    ...(reason ? { reason } : {}),
    bundle: bundleOf(life),
    attempts: life.attempts,
    times: leaseTimesOf(life),
    ...(job ? { job } : {}),
    ...(collected ? { collected } : {}),
  };
}
