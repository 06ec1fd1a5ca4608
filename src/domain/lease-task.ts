import { digestOf } from './same.ts';
import { noOutput, type TaskResult, type TaskSpec } from './task.ts';

/** Of a command that has started, the lease keeps this much for people; the task itself has the whole. */
const shownCommandLength = 512;

export interface LeaseTask {
  readonly taskId: string;
  /** Whole until the task has started, then only what is shown and what ending it needs. */
  readonly spec: TaskSpec;
  /** Of the whole spec: same id and same spec is the same task. */
  readonly digest: string;
  readonly phase: 'accepted' | 'started' | 'ended';
  /** What was asked of it last: `cancel` stops the command, `lost` stops waiting for a guest that is no more. */
  readonly asked?: 'cancel' | 'lost';
  readonly startedAtMs?: number;
  readonly result?: TaskResult;
}

/** Secrets of the caller, not of the operator, are named `lease:NAME`. */
export const sealedPrefix = 'lease:';
export const usesSealed = (spec: TaskSpec): boolean =>
  Object.values(spec.secretEnv ?? {}).some((name) => name.startsWith(sealedPrefix));

export const acceptedTask = (taskId: string, spec: TaskSpec): LeaseTask => ({
  taskId,
  spec,
  digest: digestOf(spec),
  phase: 'accepted',
});

export function shown(spec: TaskSpec): TaskSpec {
  const cut = (text: string): string =>
    text.length > shownCommandLength ? `${text.slice(0, shownCommandLength)}…` : text;
  const { command } = spec;
  const short = 'shell' in command ? { shell: cut(command.shell) } : [cut(command.join(' '))];
  const whole = 'shell' in command ? command.shell.length : command.join(' ').length;
  return {
    command: whole > shownCommandLength ? short : command,
    ...(spec.graceMs === undefined ? {} : { graceMs: spec.graceMs }),
  };
}

export const neverStarted = (task: LeaseTask): LeaseTask => ({
  ...task,
  phase: 'ended',
  result: { ...lostResult(task, '', 0), state: 'cancelled', lost: false, cancelled: true, reason: 'never started' },
});

/** What the tasks of a lease say against giving its machine to another: what one did, or does still, is unknown. */
export function taintOfTasks(leaseId: string, tasks: readonly LeaseTask[]): string | undefined {
  const lost = tasks.find((task) => task.result?.lost);
  return lost && `what task ${leaseId}/${lost.taskId} did, and whether it ended, is unknown`;
}

/** The result of a task that nobody can say more about. */
export function lostResult(task: LeaseTask, message: string, nowMs: number): TaskResult {
  return {
    taskId: task.taskId,
    state: 'lost',
    command: task.spec.command,
    exitCode: null,
    signal: null,
    timedOut: false,
    cancelled: task.asked === 'cancel',
    lost: true,
    reason: message,
    startedAt: task.startedAtMs === undefined ? null : new Date(task.startedAtMs).toISOString(),
    durationMs: task.startedAtMs === undefined ? 0 : nowMs - task.startedAtMs,
    stdout: noOutput,
    stderr: noOutput,
  };
}
