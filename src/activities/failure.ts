import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { ApplicationFailureCategory } from '@temporalio/common';
import { DomainError, failureTable, wholeText } from '../domain/failure.ts';

/** A bug of ours is tried a few times, in case it is a passing state of this process, and then shown. */
const bugAttempts = 5;

/**
 * The one translation of what went wrong into what Temporal does: by the failure table, never by text.
 * @param patient the activity may never give up by itself (watching, following, paying a debt)
 */
export function toTemporal(error: unknown, patient = false): Error {
  const context = Context.current();
  const { cancellationSignal, cancellationDetails, info } = context;
  if (cancellationSignal.aborted) {
    // Cancelled by the workflow, or this worker is going: then the next attempt goes on elsewhere at once.
    return cancellationDetails?.cancelRequested
      ? new CancelledFailure('cancelled')
      : ApplicationFailure.create({ type: 'WorkerShutdown', message: 'The worker is stopping', nextRetryDelay: 100 });
  }
  if (error instanceof CancelledFailure || error instanceof ApplicationFailure) return error;
  if (error instanceof DomainError) {
    const { retryable } = failureTable[error.type];
    // A workflow cannot read the delay itself.
    const details =
      error.retryAfterMs === undefined ? error.details : { ...error.details, retryAfterMs: error.retryAfterMs };
    const waiting = error.type === 'CapacityUnavailable' || error.type === 'RateLimited';
    return ApplicationFailure.create({
      type: error.type,
      message: wholeText(error),
      nonRetryable: !retryable && !patient,
      ...(error.cause instanceof Error ? { cause: error.cause } : {}),
      ...(details ? { details: [details] } : {}),
      ...(waiting ? { category: ApplicationFailureCategory.BENIGN } : {}),
      ...(error.retryAfterMs === undefined ? {} : { nextRetryDelay: error.retryAfterMs }),
    });
  }
  const bug = error instanceof Error ? error : new Error(String(error));
  return ApplicationFailure.create({
    type: bug.name,
    message: bug.message,
    nonRetryable: !patient && info.attempt >= bugAttempts,
    cause: bug,
  });
}

/**
 * What keeps us from a guest that was logged in to before, if it is that. A refused login is no more than that there:
 * what was begun goes on all the same.
 */
export function outOfReach(error: unknown): DomainError | undefined {
  if (!(error instanceof DomainError)) return undefined;
  if (error.type === 'SshAuthRefused') return new DomainError('GuestUnreachable', error.message, { cause: error });
  return error.type === 'GuestUnreachable' ? error : undefined;
}
