import type { Client, WorkflowExecutionDescription, WorkflowHandle } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { defaultPayloadConverter, defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import { queries } from '../contract/messages.ts';
import type { DomainError } from '../domain/failure.ts';
import { isLate } from './temporal-failure.ts';

export const ownerKey = defineSearchAttributeKey('SlipwayOwner', SearchAttributeType.KEYWORD);

/** How long one message to a workflow may take: far more than a worker needs, far less than a caller waits in vain. */
export const messageWithinMs = 20_000;

/** The Temporal client as the API uses it: every call but a long poll has a deadline. */
export const quickly = <T>(client: Client, call: () => Promise<T>): Promise<T> =>
  client.withDeadline(Date.now() + messageWithinMs, call);

/** @throws DomainError NotFound, with the words of the caller's resource */
export async function describe(
  client: Client,
  workflowId: string,
  type: string,
  missing: () => DomainError,
): Promise<WorkflowExecutionDescription> {
  try {
    const found = await quickly(client, () => client.workflow.getHandle(workflowId).describe());
    if (found.type !== type) throw missing();
    return found;
  } catch (error) {
    throw error instanceof WorkflowNotFoundError ? missing() : error;
  }
}

/**
 * A run that closes loses the query that waits behind its last task: the SDK's core drops it, with a warning of "leftover
 * buffered tasks". So what is not answered in this time is asked again, with more of it each time.
 */
const firstAnswerWithinMs = 2_000;

export async function query<T>(client: Client, workflowId: string, name: string): Promise<T> {
  const until = Date.now() + messageWithinMs;
  const handle = client.workflow.getHandle(workflowId);
  for (let withinMs = firstAnswerWithinMs; ; withinMs *= 2) {
    const deadline = Math.min(until, Date.now() + withinMs);
    try {
      return await client.withDeadline(deadline, () => handle.query<T>(name));
    } catch (error) {
      if (!isLate(error) || deadline === until) throw error;
    }
  }
}

export const queryStatus = <T>(client: Client, workflowId: string): Promise<T> =>
  query(client, workflowId, queries.status);

/** The one argument that a workflow's present run was started with, as it was sent. */
export async function startedWith(client: Client, workflowId: string): Promise<unknown> {
  const page = await quickly(client, () =>
    client.workflowService.getWorkflowExecutionHistory({
      namespace: client.options.namespace,
      execution: { workflowId },
      maximumPageSize: 1,
    }),
  );
  const payload = page.history?.events?.[0]?.workflowExecutionStartedEventAttributes?.input?.payloads?.[0];
  return payload ? defaultPayloadConverter.fromPayload(payload) : undefined;
}

/** Resolves when the workflow has closed, however it ended; an open one is awaited as long as `signal` lets. */
export async function closed(client: Client, handle: WorkflowHandle, signal: AbortSignal): Promise<void> {
  try {
    await client.withAbortSignal(signal, () => handle.result());
  } catch (error) {
    // Failed, cancelled, terminated, timed out: closed as well. Who is not found was never open, or is long gone.
    const name = error instanceof Error ? error.name : '';
    if (!['WorkflowFailedError', 'WorkflowNotFoundError'].includes(name)) throw error;
  }
}
