import { randomUUID } from 'node:crypto';
import { WithStartWorkflowOperation } from '@temporalio/client';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { attributesOf } from '../contract/attributes.ts';
import type { LeaseView } from '../contract/http.ts';
import { isLeaseEnd } from '../contract/wait.ts';
import { leaseSignals, leaseUpdates, openedByMemo, workflowType } from '../contract/messages.ts';
import { DomainError, textParts } from '../domain/failure.ts';
import { leaseWorkflowId } from '../domain/ids.ts';
import type { LeaseRequest, LeaseStatus } from '../domain/lease.ts';
import { isForeign, takenId, unknownOwner } from '../domain/owner.ts';
import { sameBody } from '../domain/same.ts';
import type { ApiDeps } from './deps.ts';
import { describeLease, leaseStatus, leaseView } from './lease-view.ts';
import { closedUnderUpdate, domainErrorOf } from './temporal-failure.ts';
import { ownerKey, quickly, startedWith } from './workflows.ts';

export interface Opened {
  readonly status: LeaseStatus;
  readonly created: boolean;
}

/**
 * One id, one lease: the same body answers the same lease, also after it has ended.
 * @throws DomainError IdConflict for another body, and for another owner; InvalidRequest as the bundle says
 */
export async function openLease(deps: ApiDeps, request: LeaseRequest, owner: string): Promise<Opened> {
  const notice = await admit(deps, request);
  for (let tries = 1; ; tries += 1) {
    try {
      const opened = await updateWithStart(deps, request, owner);
      return opened.created ? withNotice(opened, notice) : opened;
    } catch (error) {
      if (error instanceof WorkflowExecutionAlreadyStartedError) return sameAsBefore(deps, request, owner);
      // The lease ended in that moment: the next look finds it closed.
      if (tries < 3 && closedUnderUpdate(error)) continue;
      throw error;
    }
  }
}

/** Its own worker has not looked at the bundle yet, and sees what we see. */
const withNotice = ({ status, created }: Opened, notice: string | undefined): Opened =>
  notice === undefined || status.bundle.notice !== undefined
    ? { status, created }
    : { status: { ...status, bundle: { ...status.bundle, notice } }, created };

/** A lease that stands already was admitted when it was made, whatever its bundle says now. */
async function admit(deps: ApiDeps, request: LeaseRequest): Promise<string | undefined> {
  try {
    return await deps.admit(request);
  } catch (error) {
    try {
      await describeLease(deps.client, request.leaseId);
    } catch (missing) {
      if (domainErrorOf(missing)?.type !== 'NotFound') throw missing;
      await deps.secrets.forget(request.leaseId);
      throw error;
    }
    return undefined;
  }
}

async function updateWithStart(deps: ApiDeps, request: LeaseRequest, owner: string): Promise<Opened> {
  const { client } = deps;
  const workflowId = leaseWorkflowId(request.leaseId);
  const mark = randomUUID();
  const starting = new WithStartWorkflowOperation(workflowType.lease, {
    workflowId,
    taskQueue: deps.taskQueue,
    args: [request] as never,
    workflowIdConflictPolicy: 'USE_EXISTING',
    workflowIdReusePolicy: 'REJECT_DUPLICATE',
    memo: { [openedByMemo]: mark },
    staticSummary: `lease of bundle ${request.bundle}`,
    typedSearchAttributes: attributesOf({
      state: 'acquiring',
      bundle: request.bundle,
      lease: request.leaseId,
      owner,
    }),
  });
  type Answer = LeaseStatus & { readonly opened?: true };
  // A fresh update id each time: a repeated one would answer the old result whatever the body.
  const { opened, ...status } = await quickly(client, () =>
    client.workflow.executeUpdateWithStart<() => Promise<unknown>, Answer, [unknown]>(leaseUpdates.open, {
      args: [{ request, owner }],
      updateId: mark,
      startWorkflowOperation: starting,
    }),
  );
  return { status, created: opened === true };
}

/** For a closed lease: compared with what it was started with, here, since it cannot take an update any more. */
async function sameAsBefore(deps: ApiDeps, request: LeaseRequest, owner: string): Promise<Opened> {
  const { typedSearchAttributes } = await describeLease(deps.client, request.leaseId);
  if (isForeign(typedSearchAttributes.get(ownerKey) ?? unknownOwner, owner)) {
    const { message, ...hint } = textParts(takenId(request.leaseId).message);
    throw new DomainError('IdConflict', message, hint);
  }
  const input = await startedWith(deps.client, leaseWorkflowId(request.leaseId));
  const continued = (input as { carried?: unknown; request?: unknown } | undefined)?.carried !== undefined;
  if (!sameBody(continued ? (input as { request: unknown }).request : input, request)) {
    throw new DomainError('IdConflict', `Lease ${request.leaseId} exists with another body, and has ended.`, {
      hint: 'another id.',
    });
  }
  return { status: await leaseStatus(deps.client, request.leaseId), created: false };
}

/** An update of an open lease. @throws DomainError NotFound, Gone, or what the lease refuses it with */
async function update(deps: ApiDeps, leaseId: string, name: string, body: unknown): Promise<LeaseStatus> {
  const handle = deps.client.workflow.getHandle(leaseWorkflowId(leaseId));
  try {
    return await quickly(deps.client, () =>
      handle.executeUpdate<LeaseStatus, [unknown]>(name, { args: [body], updateId: randomUUID() }),
    );
  } catch (error) {
    if (closedUnderUpdate(error)) throw await over(deps, leaseId, name);
    throw error;
  }
}

/** Why a closed lease does not take this. */
export async function over(deps: ApiDeps, leaseId: string, what: string): Promise<DomainError> {
  const { state } = await leaseStatus(deps.client, leaseId);
  return new DomainError('Gone', `Lease ${leaseId} is ${state}: it takes no ${what} any more.`, {
    hint: 'a new lease.',
  });
}

export async function extendLease(deps: ApiDeps, leaseId: string, body: unknown): Promise<LeaseView> {
  await update(deps, leaseId, leaseUpdates.extend, body);
  return leaseView(deps.client, leaseId);
}

/** Repeatable: a lease that has ended stays as it is. */
export async function releaseLease(deps: ApiDeps, leaseId: string, body: unknown): Promise<LeaseView> {
  try {
    await update(deps, leaseId, leaseUpdates.release, body);
  } catch (error) {
    if (domainErrorOf(error)?.type !== 'Gone') throw error;
  }
  return leaseView(deps.client, leaseId);
}

/** Repeatable, as release. */
export async function cancelLease(deps: ApiDeps, leaseId: string, body: unknown): Promise<LeaseView> {
  try {
    await signal(deps, leaseId, leaseSignals.cancel, body);
  } catch (error) {
    if (domainErrorOf(error)?.type !== 'Gone') throw error;
  }
  return leaseView(deps.client, leaseId);
}

export async function markReady(deps: ApiDeps, leaseId: string, body: unknown): Promise<LeaseView> {
  const { state } = await leaseStatus(deps.client, leaseId);
  if (isLeaseEnd(state)) throw await over(deps, leaseId, 'markReady');
  await signal(deps, leaseId, leaseSignals.markReady, body);
  return leaseView(deps.client, leaseId);
}

async function signal(deps: ApiDeps, leaseId: string, name: string, body: unknown): Promise<void> {
  const handle = deps.client.workflow.getHandle(leaseWorkflowId(leaseId));
  try {
    await quickly(deps.client, () => handle.signal(name, body));
  } catch (error) {
    if (closedUnderUpdate(error)) throw await over(deps, leaseId, name);
    throw error;
  }
}
