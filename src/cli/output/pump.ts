import { once } from 'node:events';
import type { Writable } from 'node:stream';

/** Nobody reads our standard output any more (`| head`). */
export class PipeClosed extends Error {
  constructor() {
    super('the pipe was closed');
    this.name = 'PipeClosed';
  }
}

/** Writes bytes as they are, and no faster than they are read. @throws PipeClosed */
export async function writeOut(out: Writable, bytes: Uint8Array): Promise<void> {
  if (out.destroyed || out.errored) throw new PipeClosed();
  if (out.write(bytes)) return;
  const done = new AbortController();
  try {
    await Promise.race([once(out, 'drain', { signal: done.signal }), once(out, 'close', { signal: done.signal })]);
  } catch (error) {
    // Without this, once() of an emitter that errors rejects with that error.
    if (isClosedPipe(error)) throw new PipeClosed();
    throw error;
  } finally {
    done.abort();
  }
  if (out.destroyed) throw new PipeClosed();
}

export const isClosedPipe = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_DESTROYED');

/** Waits until all that was written has left this process: an exit would cut it. */
export async function flush(out: Writable): Promise<void> {
  if (out.destroyed || out.writableLength === 0) return;
  await new Promise<void>((resolve) => out.write('', () => resolve()));
}
