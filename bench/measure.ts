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

const headerBytes = 13;

/** Follows a task's output as a caller does; answers the instants of its first byte and of its end. */
export async function follow(
  stack: BenchStack,
  leaseId: string,
  taskId: string,
  onBytes?: (bytes: number) => void,
): Promise<Followed> {
  const response = await stack.call(`/v1/leases/${leaseId}/tasks/${taskId}/follow?out=0&err=0`);
  if (!response.ok || !response.body) throw new Error(`follow: ${response.status} ${await response.text()}`);
  let pending: Buffer = Buffer.alloc(0);
  let firstByteMs = Number.NaN;
  for await (const chunk of response.body) {
    pending = Buffer.concat([pending, chunk as Uint8Array]);
    while (pending.length >= headerBytes) {
      const stream = pending.readUInt8(0);
      const length = pending.readUInt32BE(9);
      if (pending.length < headerBytes + length) break;
      const body = pending.subarray(headerBytes, headerBytes + length);
      pending = pending.subarray(headerBytes + length);
      if (stream === 0) {
        const { exitCode } = JSON.parse(body.toString()) as { exitCode: number | null };
        return { firstByteMs, endMs: performance.now(), exitCode };
      }
      // An empty frame only says that the connection lives.
      if (length === 0) continue;
      if (Number.isNaN(firstByteMs)) firstByteMs = performance.now();
      onBytes?.(length);
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
