import type { Client } from '@temporalio/client';
import { createFrameReader } from '../src/contract/frames.ts';
import { leaseWorkflowId, machineWorkflowId, taskWorkflowId } from '../src/domain/ids.ts';
import type { LeaseStatus } from '../src/domain/lease.ts';
import type { BenchStack } from './stack.ts';

/** When things came, in ms of `performance.now()`. */
export interface Followed {
  readonly firstByteMs: number;
  readonly endMs: number;
  readonly exitCode: number | null;
}

/** Follows a task's output as a caller does; answers the instants of its first byte and of its end. */
export async function follow(
  stack: BenchStack,
  leaseId: string,
  taskId: string,
  onStdout?: (bytes: Uint8Array) => void,
): Promise<Followed> {
  const response = await stack.call(`/v1/leases/${leaseId}/tasks/${taskId}/follow?out=0&err=0`);
  if (!response.ok || !response.body) throw new Error(`follow: ${response.status} ${await response.text()}`);
  const read = createFrameReader();
  let firstByteMs = Number.NaN;
  for await (const chunk of response.body) {
    for (const piece of read(chunk as Uint8Array)) {
      if (piece.stream === 'problem') throw new Error(`the follow of ${leaseId}/${taskId}: ${piece.text}`);
      if (piece.stream === 'end') {
        const { exitCode } = JSON.parse(piece.text) as { exitCode: number | null };
        return { firstByteMs, endMs: performance.now(), exitCode };
      }
      if (Number.isNaN(firstByteMs)) firstByteMs = performance.now();
      if (piece.stream === 'stdout') onStdout?.(piece.bytes);
    }
  }
  throw new Error(`the follow of ${leaseId}/${taskId} ended without its end frame`);
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
