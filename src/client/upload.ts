import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { DomainError } from '../domain/failure.ts';
import { systemWords } from '../domain/system-words.ts';
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
  const before = await stampOf(path);
  const { sha256, bytes } = await digestOf(path);
  const blob = `/v1/blobs/${sha256}`;
  if (await isThere(transport, blob, signal)) return { sha256, bytes };
  // Without it a file that cannot be read any more looks like an API that went away.
  const broken = new AbortController();
  const stream = (): ReadableStream<Uint8Array> => {
    const file = createReadStream(path).once('error', (cause) => broken.abort(unreadable(path, cause)));
    return Readable.toWeb(file) as ReadableStream<Uint8Array>;
  };
  const signals = signal === undefined ? [broken.signal] : [signal, broken.signal];
  try {
    await transport.json(blob, { method: 'PUT', bytes: stream, signal: AbortSignal.any(signals) });
  } catch (error) {
    if (!(error instanceof DomainError) || error.type !== 'InvalidRequest' || broken.signal.aborted) throw error;
    if ((await stampOf(path)) === before) throw error;
    throw new DomainError('InvalidRequest', `The file ${path} changed while it was uploaded.`, {
      hint: 'Upload a copy of it, or end what writes to it.',
      cause: error,
    });
  }
  return { sha256, bytes };
}

/** Of another one, or of the same one written to, it is another; empty when it is not there. */
async function stampOf(path: string): Promise<string> {
  const found = await stat(path, { bigint: true }).catch(() => undefined);
  return found === undefined ? '' : `${found.ino} ${found.size} ${found.mtimeNs}`;
}

function unreadable(path: string, cause: unknown): DomainError {
  return new DomainError('InvalidRequest', `The file ${path} cannot be read: ${systemWords(cause)}.`, { cause });
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
    throw unreadable(path, cause);
  }
  return { sha256: hash.digest('hex'), bytes };
}
