import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { DomainError } from '../domain/failure.ts';
import type { Transport } from './transport.ts';

export interface Uploaded {
  readonly sha256: string;
  readonly bytes: number;
}

/**
 * A local file to the blob store, read twice and never held in memory; one that is there already is not sent.
 * @throws DomainError InvalidRequest when it cannot be read, or changes meanwhile
 */
export async function uploadFile(transport: Transport, path: string, signal?: AbortSignal): Promise<Uploaded> {
  const { sha256, bytes } = await digestOf(path);
  const blob = `/v1/blobs/${sha256}`;
  if (!(await isThere(transport, blob, signal))) {
    const stream = (): ReadableStream<Uint8Array> =>
      Readable.toWeb(createReadStream(path)) as ReadableStream<Uint8Array>;
    await transport.json(blob, { method: 'PUT', bytes: stream, signal });
  }
  return { sha256, bytes };
}

async function isThere(transport: Transport, blob: string, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    await transport.ask(blob, { method: 'HEAD', signal });
    return true;
  } catch (error) {
    if (error instanceof DomainError && error.type === 'NotFound') return false;
    throw error;
  }
}

async function digestOf(path: string): Promise<Uploaded> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    if ((await stat(path)).isDirectory()) throw new Error('it is a folder');
    for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new DomainError('InvalidRequest', `The file ${path} cannot be read: ${why}.`, { cause });
  }
  return { sha256: hash.digest('hex'), bytes };
}
