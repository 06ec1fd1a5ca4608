import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { noOutput } from '../../src/domain/task.ts';
import type { Stream, TaskResult } from '../../src/domain/task.ts';
import type { OutputStore } from '../../src/output/output-store.ts';

export const roomy = 1_073_741_824;

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

export const bytesOf = (text: string): Uint8Array => Buffer.from(text);

/** A folder of the test's own, gone after it. */
export async function freshFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-test-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

export const noise = (bytes: number): Buffer => randomBytes(bytes);

export const resultOf = (taskId: string): TaskResult => ({
  taskId,
  state: 'exited',
  command: ['true'],
  exitCode: 0,
  signal: null,
  timedOut: false,
  cancelled: false,
  lost: false,
  startedAt: '2026-01-01T00:00:00.000Z',
  durationMs: 1,
  stdout: noOutput,
  stderr: noOutput,
});

export async function followed(
  store: OutputStore,
  taskKey: string,
  from: Readonly<Record<Stream, number>> = { stdout: 0, stderr: 0 },
  signal: AbortSignal = new AbortController().signal,
): Promise<Record<Stream, Buffer>> {
  const got: Record<Stream, Buffer[]> = { stdout: [], stderr: [] };
  const next = { ...from };
  for await (const chunk of store.follow(taskKey, from, signal)) {
    if (chunk.offset !== next[chunk.stream]) throw new Error(`${chunk.stream} jumped to ${chunk.offset}`);
    if (chunk.bytes.length > 262_144) throw new Error('a chunk is too large');
    next[chunk.stream] += chunk.bytes.length;
    got[chunk.stream].push(Buffer.from(chunk.bytes));
  }
  return { stdout: Buffer.concat(got.stdout), stderr: Buffer.concat(got.stderr) };
}
