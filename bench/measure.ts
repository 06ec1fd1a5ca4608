import type { Client } from '@temporalio/client';
import { leaseWorkflowId, machineWorkflowId, taskWorkflowId } from '../src/domain/ids.ts';
import type { LeaseStatus } from '../src/domain/lease.ts';
import type { BenchStack } from './stack.ts';

/** When things came, in ms of `performance.now()`. */
export interface Followed {
  readonly firstByteMs: number;
  readonly endMs: number;
  readonly exitCode: number | null;
}

/** Follows a task's output with the client that the command line has; answers the instants of its first byte and of its end. */
export async function follow(
  stack: BenchStack,
  leaseId: string,
  taskId: string,
  onStdout?: (bytes: Uint8Array) => void,
): Promise<Followed> {
  let firstByteMs = Number.NaN;
  for await (const news of stack.client.tasks.follow(leaseId, taskId)) {
    if (news.type === 'end') return { firstByteMs, endMs: performance.now(), exitCode: news.result.exitCode };
    if (Number.isNaN(firstByteMs)) firstByteMs = performance.now();
    if (news.stream === 'stdout') onStdout?.(news.bytes);
  }
  throw new Error(`the follow of ${leaseId}/${taskId} ended without its result`);
}

export async function createLease(
  stack: BenchStack,
  body: Readonly<Record<string, unknown>> & { readonly leaseId: string },
): Promise<void> {
  await stack.json(`/v1/leases/${body.leaseId}`, { method: 'PUT', body: JSON.stringify({ bundle: 'bench', ...body }) });
}

export const awaitLease = (
  stack: BenchStack,
  leaseId: string,
  what: 'ready' | 'ended' | 'gone',
): Promise<LeaseStatus> => stack.json(`/v1/leases/${leaseId}?wait=${what}`);

/** Events of a lease with one machine and its job, together. */
export async function countEvents(client: Client, leaseId: string): Promise<number> {
  const ids = [leaseWorkflowId(leaseId), machineWorkflowId(`${leaseId}.1`), taskWorkflowId(leaseId, 'job')];
  const histories = await Promise.all(ids.map((id) => client.workflow.getHandle(id).fetchHistory()));
  return histories.reduce((sum, { events }) => sum + (events?.length ?? 0), 0);
}

export const putTask = (
  stack: BenchStack,
  leaseId: string,
  taskId: string,
  command: readonly string[],
): Promise<unknown> =>
  stack.json(`/v1/leases/${leaseId}/tasks/${taskId}`, { method: 'PUT', body: JSON.stringify({ command }) });

/** Gives the machine back, and sees it gone. */
export async function release(stack: BenchStack, leaseId: string): Promise<void> {
  await stack.json(`/v1/leases/${leaseId}/release`, { method: 'POST', body: '{}' });
  await awaitLease(stack, leaseId, 'gone');
}

/** How long it takes, in ms. */
export async function timed(what: () => Promise<unknown>): Promise<number> {
  const startedMs = performance.now();
  await what();
  return performance.now() - startedMs;
}
