import { WorkflowFailedError, type WorkflowHandle } from '@temporalio/client';
import { ActivityFailure, ApplicationFailure } from '@temporalio/common';
import type { LeaseResult } from '../../src/domain/lease.ts';
import type { TaskResult } from '../../src/domain/task.ts';

/** How a workflow has ended, in a word or two that are the same at every run. */
export async function outcomeOf(handle: WorkflowHandle): Promise<string> {
  const { status } = await handle.describe();
  if (status.name === 'COMPLETED') return wordOf((await handle.result()) ?? {});
  if (status.name === 'FAILED') return `failed (${await failureOf(handle)})`;
  return status.name === 'CANCELLED' ? 'closed as Canceled' : status.name.toLowerCase();
}

/** What every command in these worlds exits with. */
export const jobExit = 3;

/** A result of any of ours: of a lease, a task, a machine or a sweep. */
function wordOf(
  result: Partial<LeaseResult> & { readonly phase?: string } & Partial<Pick<TaskResult, 'exitCode'>>,
): string {
  const more = (result.attempts?.length ?? 1) > 1 ? ', another machine' : '';
  const exit = result.job?.state === 'exited' ? result.job.exitCode : result.exitCode;
  const untrue = typeof exit === 'number' && result.state !== 'cancelled' && exit !== jobExit ? `, exit ${exit}` : '';
  return `${result.state ?? result.phase ?? 'done'}${more}${untrue}`;
}

async function failureOf(handle: WorkflowHandle): Promise<string> {
  const error: unknown = await handle.result().catch((thrown: unknown) => thrown);
  const cause = error instanceof WorkflowFailedError ? error.cause : error;
  const inner = cause instanceof ActivityFailure ? cause.cause : cause;
  return inner instanceof ApplicationFailure ? (inner.type ?? 'Error') : String(inner);
}
