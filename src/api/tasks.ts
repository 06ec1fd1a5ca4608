import { randomUUID } from 'node:crypto';
import { WorkflowNotFoundError } from '@temporalio/common';
import { leaseUpdates, taskSignals } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { leaseWorkflowId, taskKey, taskWorkflowId } from '../domain/ids.ts';
import type { TaskStatus, TaskSummary } from '../domain/lease.ts';
import { sameBody } from '../domain/same.ts';
import type { TaskResult, TaskSpec } from '../domain/task.ts';
import type { ApiDeps } from './deps.ts';
import { describeLease, leaseStatus, leaseTasks } from './lease-view.ts';
import { over } from './leases.ts';
import { closedUnderUpdate, domainErrorOf } from './temporal-failure.ts';
import { queryStatus, quickly, startedWith } from './workflows.ts';

export const noTask = (leaseId: string, taskId: string): DomainError =>
  new DomainError('NotFound', `Lease ${leaseId} has no task ${taskId}.`, { hint: `slipway task list ${leaseId}` });

/**
 * At most once per id: the same body answers the same task, also after it has ended.
 * @throws DomainError IdConflict for another body; Gone when the lease has ended; NotFound
 */
export async function runTask(
  deps: ApiDeps,
  leaseId: string,
  taskId: string,
  spec: TaskSpec,
): Promise<{ readonly task: TaskSummary; readonly created: boolean }> {
  const { client } = deps;
  const handle = client.workflow.getHandle(leaseWorkflowId(leaseId));
  const known = await tasksOf(deps, leaseId);
  const created = !known.some((task) => task.taskId === taskId);
  try {
    const task = await quickly(client, () =>
      handle.executeUpdate<TaskSummary, [unknown]>(leaseUpdates.runTask, {
        args: [{ taskId, spec }],
        updateId: randomUUID(),
      }),
    );
    return { task, created };
  } catch (error) {
    if (!closedUnderUpdate(error)) throw error;
  }
  const before =
    known.find((task) => task.taskId === taskId) ??
    (await tasksOf(deps, leaseId)).find((task) => task.taskId === taskId);
  if (before === undefined) throw await over(deps, leaseId, 'task');
  const input = (await startedWith(client, taskWorkflowId(leaseId, taskId)).catch(() => undefined)) as
    { spec?: unknown } | undefined;
  if (!sameBody(input?.spec, spec)) {
    throw new DomainError('IdConflict', `Task ${leaseId}/${taskId} exists with another body.`, { hint: 'another id.' });
  }
  return { task: before, created: false };
}

/** @throws DomainError NotFound */
export async function tasksOf(deps: ApiDeps, leaseId: string): Promise<readonly TaskSummary[]> {
  await describeLease(deps.client, leaseId);
  // A lease that was refused at its door knows none, and one that cannot be asked any more has its result.
  return leaseTasks(deps.client, leaseId).catch(async () => (await leaseStatus(deps.client, leaseId)).tasks);
}

/** @throws DomainError NotFound */
export async function taskStatus(deps: ApiDeps, leaseId: string, taskId: string): Promise<TaskStatus> {
  try {
    const status = await queryStatus<TaskStatus>(deps.client, taskWorkflowId(leaseId, taskId));
    // A terminated task says of itself that it runs; its lease knows better.
    return status.result ? status : { ...status, ...(await endByLease(deps, leaseId, taskId)) };
  } catch (error) {
    if (domainErrorOf(error)?.type !== 'NotFound') throw error;
  }
  const task = (await tasksOf(deps, leaseId)).find((each) => each.taskId === taskId);
  if (task === undefined) throw noTask(leaseId, taskId);
  const none = { bytes: 0, tail: '' };
  return { ...task, leaseId, stdout: none, stderr: none };
}

async function endByLease(
  deps: ApiDeps,
  leaseId: string,
  taskId: string,
): Promise<{ state: TaskResult['state']; result: TaskResult } | undefined> {
  const result = (await tasksOf(deps, leaseId)).find((each) => each.taskId === taskId)?.result;
  return result ? { state: result.state, result } : undefined;
}

/** Repeatable: a task that has ended stays as it is. @throws DomainError NotFound; InvalidRequest when it has not begun */
export async function cancelTask(deps: ApiDeps, leaseId: string, taskId: string, body: unknown): Promise<TaskStatus> {
  const { client } = deps;
  try {
    await quickly(client, () =>
      client.workflow.getHandle(taskWorkflowId(leaseId, taskId)).signal(taskSignals.cancel, body),
    );
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    const status = await taskStatus(deps, leaseId, taskId);
    if (status.state === 'pending') {
      throw new DomainError('InvalidRequest', `Task ${leaseId}/${taskId} has not begun.`, {
        hint: `wait for it, or slipway lease cancel ${leaseId}`,
      });
    }
    return status;
  }
  return taskStatus(deps, leaseId, taskId);
}

/** The task's result as the output store or its lease knows it; undefined while it runs. */
export async function resultOf(deps: ApiDeps, leaseId: string, taskId: string): Promise<TaskResult | undefined> {
  const stored = (await deps.outputs.stat(taskKey(leaseId, taskId)))?.end;
  return stored ?? (await tasksOf(deps, leaseId)).find((each) => each.taskId === taskId)?.result;
}
