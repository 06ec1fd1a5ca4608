import {
  isGrpcServiceError,
  QueryNotRegisteredError,
  QueryRejectedError,
  WorkflowFailedError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure, WorkflowNotFoundError } from '@temporalio/common';
import { DomainError, isFailureType, textParts } from '../domain/failure.ts';

/** gRPC codes (grpc.io/docs/guides/status-codes) that we tell apart. */
const code = {
  cancelled: 1,
  deadlineExceeded: 4,
  notFound: 5,
  resourceExhausted: 8,
  failedPrecondition: 9,
  unavailable: 14,
};
/**
 * Those that say: not now. A failed precondition is what a query meets while no worker polls; a server that goes in the
 * middle of a call cancels it.
 */
const passing: ReadonlySet<number> = new Set([
  code.cancelled,
  code.deadlineExceeded,
  code.resourceExhausted,
  code.failedPrecondition,
  code.unavailable,
]);

/** A call's deadline passed without an answer. The server sees that too, and may be the first to end the call. */
export function isLate(error: unknown): boolean {
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError) return true;
  const grpc = grpcOf(error);
  return grpc?.code === code.deadlineExceeded || grpc?.code === code.cancelled;
}

/** The server ended the run while its update was under way. */
export const closedUnderUpdate = (error: unknown): boolean =>
  error instanceof WorkflowNotFoundError ||
  (error instanceof WorkflowUpdateFailedError &&
    error.cause instanceof ApplicationFailure &&
    error.cause.type === 'AcceptedUpdateCompletedWorkflow');

/** What a workflow or Temporal said, in the words of the failure table; undefined when it is a bug of ours. */
export function domainErrorOf(error: unknown): DomainError | undefined {
  if (error instanceof DomainError) return error;
  if (error instanceof WorkflowUpdateFailedError || error instanceof WorkflowFailedError) {
    const { cause } = error;
    return cause instanceof ApplicationFailure ? ofFailure(cause) : undefined;
  }
  if (error instanceof ApplicationFailure) return ofFailure(error);
  if (error instanceof WorkflowNotFoundError) {
    return new DomainError('NotFound', `There is no open workflow ${error.workflowId}.`, { cause: error });
  }
  if (error instanceof QueryNotRegisteredError && !isUnknownQuery(error)) return notNow(error.message, error);
  if (error instanceof QueryNotRegisteredError || error instanceof QueryRejectedError) {
    return new DomainError('NotFound', 'That workflow does not answer such a question.', { cause: error });
  }
  const grpc = grpcOf(error);
  if (error instanceof WorkflowUpdateRPCTimeoutOrCancelledError || (grpc !== undefined && passing.has(grpc.code))) {
    return notNow(grpc?.details ?? 'timed out', error);
  }
  if (grpc?.code === code.notFound) {
    return new DomainError('NotFound', grpc.details, { cause: error });
  }
  return undefined;
}

/** The SDK's class stands for whatever failed a query, a worker that was killed over it among them. */
const isUnknownQuery = ({ message }: QueryNotRegisteredError): boolean =>
  /did not register a handler|Unknown query/.test(message);

const notNow = (why: string, cause: unknown): DomainError =>
  new DomainError('ProviderUnavailable', `The stack does not answer now: ${why}.`, {
    hint: 'slipway dev status says whether Temporal and the worker run; asking again does no harm.',
    retryAfterMs: 1_000,
    cause,
  });

function ofFailure(failure: ApplicationFailure): DomainError {
  const type = isFailureType(failure.type) ? failure.type : 'Internal';
  // Workflows know no hint of their own: they write it behind the message.
  const { message, hint } = textParts(failure.message);
  const details = failure.details?.[0];
  return new DomainError(type, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(typeof details === 'object' && details !== null ? { details: details as Record<string, unknown> } : {}),
    cause: failure,
  });
}

function grpcOf(error: unknown): { code: number; details: string } | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth += 1) {
    if (isGrpcServiceError(at)) return { code: at.code, details: at.details };
  }
  return undefined;
}
