import { ActivityFailure, ApplicationFailure, ChildWorkflowFailure, TimeoutFailure } from '@temporalio/workflow';
import { failureTable, isFailureType, textParts, wholeText, type FailureType, type Reason } from '../domain/failure.ts';

/** What an error means to us: the type of the table, never its text, decides what follows. */
export function reasonOf(error: unknown, overdue: Reason): Reason {
  const cause = error instanceof ActivityFailure || error instanceof ChildWorkflowFailure ? error.cause : error;
  if (cause instanceof ApplicationFailure) {
    const type: FailureType = isFailureType(cause.type) ? cause.type : 'Internal';
    // The tries ran out of time. A place that would not give keeps its name; a guest that did not answer was never ready.
    // Where a place without capacity is not tried again, that is an answer and no overdue one.
    const stockout =
      type === 'CapacityUnavailable' &&
      error instanceof ActivityFailure &&
      error.retryState === 'NON_RETRYABLE_FAILURE';
    if (failureTable[type].retryable && type !== 'Internal' && !stockout) {
      return {
        type: type === 'GuestUnreachable' ? overdue.type : type,
        message: withLast(overdue, cause),
      };
    }
    return { type, message: cause.message };
  }
  if (cause instanceof TimeoutFailure) {
    const last = cause.cause;
    return {
      type: overdue.type,
      message: last instanceof ApplicationFailure ? withLast(overdue, last) : overdue.message,
    };
  }
  return { type: 'Internal', message: cause instanceof Error ? cause.message : String(cause) };
}

function withLast(overdue: Reason, last: ApplicationFailure): string {
  const { message, hint } = textParts(overdue.message);
  return wholeText({ message: `${message} Last: ${textParts(last.message).message}`, hint });
}

export const isTimeout = (error: unknown): boolean =>
  error instanceof ActivityFailure && error.cause instanceof TimeoutFailure;

/** A failure of the table, as the workflow's own end. */
export const failureOf = (reason: Reason, ...details: unknown[]): ApplicationFailure =>
  ApplicationFailure.create({ type: reason.type, message: reason.message, nonRetryable: true, details });
