import { randomBytes } from 'node:crypto';
import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { keySignals, keyUpdates, workflowType } from '../contract/messages.ts';
import { defaultKeyMs } from '../contract/transfer.ts';
import { attribute } from '../contract/attributes.ts';
import { DomainError } from '../domain/failure.ts';
import { fileWorkflowId, keyWorkflowId } from '../domain/ids.ts';
import { sameBody } from '../domain/same.ts';
import type { FileOrder, FileResult, FileStatus, KeyGrant } from '../domain/transfer.ts';
import { collectedAt } from './collected.ts';
import type { ApiDeps } from './deps.ts';
import { describeLease, leaseView } from './lease-view.ts';
import { viewMachine } from './machines.ts';
import { domainErrorOf, isLate } from './temporal-failure.ts';
import { closed, describe, messageWithinMs, quickly, startedWith } from './workflows.ts';

/** One try of a caller; a longer move is asked about again. */
const waitMs = 20_000;

interface Move {
  readonly leaseId: string;
  readonly fileId: string;
  readonly order: FileOrder;
}

/**
 * One id, one move: the same id with the same order is the same move, also after it has ended. From a lease that is over
 * comes what it collected.
 * @returns how it stands when it has ended, the caller left, or its time is up
 * @throws DomainError as the move failed; NotFound, IdConflict
 */
export async function moveFile(deps: ApiDeps, move: Move, leaving: AbortSignal): Promise<FileStatus> {
  const { client } = deps;
  const { leaseId, fileId, order } = move;
  const workflowId = fileWorkflowId(leaseId, fileId);
  if ('put' in order && !(await deps.blobs.has(order.put.blob))) {
    throw new DomainError('InvalidRequest', `There is no blob ${order.put.blob}.`, {
      hint: `PUT /v1/blobs/${order.put.blob} first.`,
    });
  }
  if ('put' in order) await describeLease(client, leaseId);
  else {
    const result = await collectedAt(deps, leaseId, order.get.path, workflowId);
    if (result) return { leaseId, fileId, state: 'moved', result };
  }
  try {
    await quickly(client, () =>
      client.workflow.start(workflowType.file, {
        workflowId,
        taskQueue: deps.taskQueue,
        args: [move],
        workflowIdConflictPolicy: 'FAIL',
        workflowIdReusePolicy: 'REJECT_DUPLICATE',
        staticSummary: 'put' in order ? `put ${order.put.path}` : `get ${order.get.path}`,
        typedSearchAttributes: [{ key: attribute.lease, value: leaseId }],
      }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowExecutionAlreadyStartedError)) throw error;
    if (!sameBody(await startedWith(client, workflowId), move)) {
      throw new DomainError('IdConflict', `File ${leaseId}/${fileId} is another move.`, { hint: 'another id.' });
    }
  }
  const handle = client.workflow.getHandle(workflowId);
  try {
    await closed(client, handle, AbortSignal.any([leaving, AbortSignal.timeout(waitMs)]));
  } catch {
    return { leaseId, fileId, state: 'moving' };
  }
  const result = await quickly(client, () => handle.result() as Promise<FileResult>);
  return { leaseId, fileId, state: 'moved', result };
}

/** Repeatable: a move that has ended stays as it is. What arrived so far is not used. @throws DomainError NotFound */
export async function cancelFile(deps: ApiDeps, leaseId: string, fileId: string): Promise<void> {
  const workflowId = fileWorkflowId(leaseId, fileId);
  const missing = (): DomainError => new DomainError('NotFound', `There is no file ${leaseId}/${fileId}.`);
  const { status } = await describe(deps.client, workflowId, workflowType.file, missing);
  if (status.name === 'RUNNING') await quickly(deps.client, () => deps.client.workflow.getHandle(workflowId).cancel());
}

/**
 * Answers when the key can log in.
 * @throws DomainError as the lease says: NotFound, Gone, InvalidRequest before ready and while its machine is off;
 *   GuestUnreachable when the machine does not answer
 */
export async function letKeyIn(
  deps: ApiDeps,
  leaseId: string,
  { publicKey, forMs = defaultKeyMs }: { readonly publicKey: string; readonly forMs?: number | undefined },
): Promise<KeyGrant> {
  const { client } = deps;
  const { machine } = await leaseView(client, leaseId);
  if (machine?.power?.action === 'off') throw switchedOff(leaseId, machine.machineId);
  const keyId = randomBytes(6).toString('hex');
  const untilMs = Date.now() + forMs;
  const handle = await quickly(client, () =>
    client.workflow.start(workflowType.key, {
      workflowId: keyWorkflowId(leaseId, keyId),
      taskQueue: deps.taskQueue,
      args: [{ leaseId, publicKey, untilMs }],
      workflowIdReusePolicy: 'REJECT_DUPLICATE',
      staticSummary: `a key for lease ${leaseId}`,
      typedSearchAttributes: [{ key: attribute.lease, value: leaseId }],
    }),
  );
  try {
    await quickly(client, () => handle.executeUpdate(keyUpdates.letIn, { args: [{}] }));
  } catch (error) {
    if (machine && isLate(error)) {
      // Nobody will use it.
      await takeKeyOut(deps, leaseId, keyId);
      throw await silent(deps, leaseId, machine.machineId, error);
    }
    // It failed at once, before the update came.
    const failure = domainErrorOf(error);
    if (failure?.type !== 'NotFound') throw error;
    await quickly(client, () => handle.result());
  }
  return { keyId, until: new Date(untilMs).toISOString() };
}

const switchedOff = (leaseId: string, machineId: string): DomainError =>
  new DomainError('InvalidRequest', `Machine ${machineId} of lease ${leaseId} is switched off.`, {
    hint: `slipway machine power ${machineId} on`,
  });

/** Who is silent: the machine, or those of us who would ask it. @throws DomainError when it is our side */
async function silent(deps: ApiDeps, leaseId: string, machineId: string, cause: unknown): Promise<DomainError> {
  const { seen = 'unknown', provider } = await viewMachine(deps, machineId, AbortSignal.timeout(messageWithinMs));
  const message = `Machine ${machineId} of lease ${leaseId} did not let a key in within ${messageWithinMs / 1_000} s; ${provider} says that it is ${seen}.`;
  return new DomainError('GuestUnreachable', message, { hint: `slipway machine show ${machineId}`, cause });
}

/** Repeatable. Who is logged in stays so. */
export async function takeKeyOut(deps: ApiDeps, leaseId: string, keyId: string): Promise<void> {
  const handle = deps.client.workflow.getHandle(keyWorkflowId(leaseId, keyId));
  try {
    await quickly(deps.client, () => handle.signal(keySignals.leave, {}));
  } catch (error) {
    if (domainErrorOf(error)?.type !== 'NotFound') throw error;
  }
}
