import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import { workflowType } from '../contract/messages.ts';
import { DomainError, isFailureType, wholeText, type Reason } from '../domain/failure.ts';
import { notifyWorkflowId } from '../domain/ids.ts';
import type { LeaseStatus } from '../domain/lease.ts';
import { notifyEvents, type LeaseNotify, type NotifyEvent, type NotifyStatus } from '../domain/notify.ts';
import { domainErrorOf } from './temporal-failure.ts';
import { describe, quickly } from './workflows.ts';

/** How the calls to the lease's dispatcher stand: asked of Temporal, since they may go on when the lease is over. */
export async function notifyNow(
  client: Client,
  { leaseId, times }: LeaseStatus,
  notify: LeaseNotify,
): Promise<LeaseNotify> {
  const calls = await Promise.all(notifyEvents.map((event) => callOf(client, leaseId, event, times.requested)));
  const known = notifyEvents.flatMap((event, n) => (calls[n] ? [[event, calls[n]] as const] : []));
  return { ...notify, ...Object.fromEntries(known) };
}

async function callOf(
  client: Client,
  leaseId: string,
  event: NotifyEvent,
  requested: string,
): Promise<NotifyStatus | undefined> {
  const workflowId = notifyWorkflowId(leaseId, event);
  const missing = (): DomainError => new DomainError('NotFound', `There is no ${workflowId}.`);
  const found = await describe(client, workflowId, workflowType.notify, missing).catch(unlessMissing);
  // An earlier lease of this id, long ago, may have left one.
  if (found === undefined || found.startTime.getTime() < Date.parse(requested)) return undefined;
  const since = found.startTime.toISOString();
  const at = found.closeTime ? { at: found.closeTime.toISOString() } : {};
  if (found.status.name === 'RUNNING') return { state: 'sending', since, ...triesOf(found) };
  if (found.status.name === 'COMPLETED') return { state: 'sent', since, ...at };
  return { state: 'failed', since, ...at, reason: await reasonOf(client, workflowId, found.status.name) };
}

function unlessMissing(error: unknown): undefined {
  if (domainErrorOf(error)?.type !== 'NotFound') throw error;
}

/** Tries that have ended, and what the last one said. */
function triesOf({ raw }: WorkflowExecutionDescription): Pick<NotifyStatus, 'tries' | 'reason'> {
  const pending = raw.pendingActivities?.[0];
  const { message, applicationFailureInfo } = pending?.lastFailure ?? {};
  const type = applicationFailureInfo?.type;
  return {
    tries: Math.max(0, (pending?.attempt ?? 1) - 1),
    ...(message ? { reason: { type: isFailureType(type) ? type : 'Internal', message } } : {}),
  };
}

async function reasonOf(client: Client, workflowId: string, status: string): Promise<Reason> {
  if (status !== 'FAILED') return { type: 'Gone', message: `Its workflow ${workflowId} is ${status.toLowerCase()}.` };
  try {
    await quickly(client, () => client.workflow.getHandle(workflowId).result());
  } catch (error) {
    const failure = domainErrorOf(error);
    if (failure) return { type: failure.type, message: wholeText(failure) };
    throw error;
  }
  return { type: 'Internal', message: `${workflowId} has failed without a reason.` };
}
