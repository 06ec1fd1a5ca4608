import type { Reason } from './failure.ts';
import { jobTaskId } from './ids.ts';
import { collectByMs, collectHurried } from './lease-collect.ts';
import type { LeaseEndState } from './lease.ts';
import type { LeaseEnding, LeaseLife } from './lease-life.ts';
import { leaseDeadlineMs, openTasks } from './lease-next.ts';
import { lostResult, neverStarted, type LeaseTask } from './lease-task.ts';
import type { TaskResult } from './task.ts';

/** The first reason to end stands; a Temporal cancel is remembered whenever it comes, since it names the close status. */
export function endLease(
  before: LeaseLife,
  state: LeaseEndState,
  nowMs: number,
  reason?: Reason,
  byTemporal = false,
): LeaseLife {
  const life = state === 'released' ? before : collectHurried(before, nowMs);
  if (life.ending) return byTemporal ? { ...life, ending: { ...life.ending, byTemporal } } : life;
  // Giving the machine back, when it was held after its failure or has lost the job, does not turn that into a success.
  const failure =
    state === 'released' ? (life.readyMs === undefined ? life.attempts.at(-1)?.reason : lostJob(life)) : undefined;
  const why = failure ?? reason;
  const ending: LeaseEnding = {
    state: failure ? 'failed' : state,
    sinceMs: nowMs,
    ...(why ? { reason: why } : {}),
    ...(byTemporal ? { byTemporal } : {}),
  };
  return { ...life, ending, tasks: life.tasks.map((task) => (task.phase === 'accepted' ? neverStarted(task) : task)) };
}

export const lostReason = (machineId: string): Reason => ({
  type: 'GuestLost',
  message: `Machine ${machineId} is lost: its life ended while it was leased.`,
});

/** Whoever tells it first, the machine or the task: what the job did is unknown. */
function lostJob({ request, tasks }: LeaseLife): Reason | undefined {
  const result = request.job && tasks.find((task) => task.taskId === jobTaskId)?.result;
  if (!result?.lost) return undefined;
  return { type: 'GuestLost', message: `Task ${request.leaseId}/${jobTaskId} is lost: ${result.reason ?? 'no word'}.` };
}

export function taskOver(
  life: LeaseLife,
  taskId: string,
  result: TaskResult | undefined,
  nowMs: number,
  message = '',
): LeaseLife {
  const before = life.tasks.find((task) => task.taskId === taskId);
  if (!before || before.phase === 'ended') return life;
  const final = result ?? lostResult(before, message, nowMs);
  const over = withTask(life, taskId, (task) => ({
    ...task,
    phase: 'ended',
    result: { ...final, command: task.spec.command },
  }));
  if (taskId !== jobTaskId || !life.request.job || over.ending) return over;
  const { holdAfterJobMs, holdOnFailureMs } = life.request;
  const holdMs = Math.max(holdAfterJobMs ?? 0, final.exitCode === 0 ? 0 : (holdOnFailureMs ?? 0));
  return holdMs > 0 ? { ...over, heldUntilMs: nowMs + holdMs } : endLease(over, 'released', nowMs);
}

export function overdue(life: LeaseLife, nowMs: number): LeaseLife {
  const at = leaseDeadlineMs(life);
  if (at === undefined || nowMs < at) return life;
  if (life.collecting && collectByMs(life) <= nowMs) {
    return { ...life, collecting: { ...life.collecting, givenUp: true } };
  }
  if (life.ending) {
    // The tasks had their grace and more: what they did is unknown, and the machine must not wait for them.
    return openTasks(life).reduce(
      (so, task) => taskOver(so, task.taskId, undefined, nowMs, 'did not end in time after its lease ended'),
      life,
    );
  }
  if (life.readyMs === undefined) {
    const limitMs = at - life.requestedMs;
    const waiting = life.attempts.at(-1)?.waiting;
    const why = waiting ? `: it waited for quota, place ${waiting.place} of ${waiting.of}, ${waiting.why}` : '';
    const message = `Lease ${life.request.leaseId} was not ready within ${limitMs / 1000} s (acquireWithinMs)${why}.`;
    return endLease(life, 'failed', nowMs, { type: 'GuestNeverReady', message });
  }
  if (life.heldUntilMs !== undefined && life.heldUntilMs <= nowMs) return endLease(life, 'released', nowMs);
  return endLease(life, 'expired', nowMs);
}

export function withTask(life: LeaseLife, taskId: string, change: (task: LeaseTask) => LeaseTask): LeaseLife {
  return { ...life, tasks: life.tasks.map((task) => (task.taskId === taskId ? change(task) : task)) };
}
