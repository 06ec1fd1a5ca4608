import { DomainError, failureTable } from '../domain/failure.ts';
import type { LeaseState } from '../domain/lease.ts';
import type { TaskResult } from '../domain/task.ts';

/** Exit codes that the failure table does not hold; contract.md. */
export const exit = {
  ok: 0,
  bug: 1,
  usage: 2,
  patienceOver: 7,
  timedOut: 124,
  /** Of commands that exit as a job did: everything of ours. */
  ours: 125,
  cancelled: 130,
  brokenPipe: 141,
} as const;

/** Stopped by Ctrl-C. */
export class Interrupted extends Error {
  constructor() {
    super('interrupted');
    this.name = 'Interrupted';
  }
}

/** The caller's own patience (`--wait-timeout`) is over; what it waited for goes on. */
export class PatienceOver extends Error {
  constructor(ms: number) {
    super(`not reached within ${ms} ms`);
    this.name = 'PatienceOver';
  }
}

export function exitOf(error: unknown): number {
  if (error instanceof DomainError) return failureTable[error.type].exit;
  if (error instanceof Interrupted) return exit.cancelled;
  if (error instanceof PatienceOver) return exit.patienceOver;
  return exit.bug;
}

/** As the job exited; what we cannot say is ours. A job that its expired lease cut off did not end by anybody's wish. */
export function exitOfJob(result: TaskResult, lease?: LeaseState): number {
  if (result.timedOut) return exit.timedOut;
  if (lease === 'expired' && result.cancelled) return exit.ours;
  if (result.cancelled) return exit.cancelled;
  if (result.lost || result.exitCode === null) return exit.ours;
  return result.exitCode;
}
