import { open } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { DomainError } from '../../domain/failure.ts';

/** QEMU's machine protocol (docs/interop/qmp-spec.rst): JSON lines over a unix socket, one client at a time. */
export interface Qmp {
  /** @throws DomainError ProviderUnavailable with QEMU's words */
  execute(command: string, args?: Readonly<Record<string, unknown>>): Promise<unknown>;
}

/** sun_path of a unix socket holds 108 bytes, 104 on macOS (unix(7)). */
const longestPath = 100;
const answersWithinMs = 5_000;

interface Line {
  readonly QMP?: unknown;
  readonly event?: string;
  readonly return?: unknown;
  readonly error?: { readonly desc?: string };
}

/**
 * One short conversation; others wait for it. Events are left aside.
 * @throws DomainError ProviderUnavailable when nothing answers in its time (5 s): QEMU has ended, or is stopped
 */
export async function withQmp<T>(
  path: string,
  signal: AbortSignal,
  use: (qmp: Qmp) => Promise<T>,
  withinMs = answersWithinMs,
): Promise<T> {
  const folder = Buffer.byteLength(path) > longestPath ? await open(dirname(path), 'r') : undefined;
  const soon = AbortSignal.any([signal, AbortSignal.timeout(withinMs)]);
  const socket = connect(folder ? join(`/proc/self/fd/${folder.fd}`, basename(path)) : path);
  const stop = (): void => void socket.destroy(new Error('no answer in time'));
  soon.addEventListener('abort', stop, { once: true });
  // It tells of what is to come only.
  if (soon.aborted) stop();
  try {
    const next = answersOf(socket);
    const first = await next();
    if (first.QMP === undefined) throw new Error('it does not speak QMP');
    const execute = async (execute: string, args?: Readonly<Record<string, unknown>>): Promise<unknown> => {
      socket.write(`${JSON.stringify({ execute, ...(args ? { arguments: args } : {}) })}\n`);
      for (;;) {
        const line = await next();
        if (line.event !== undefined) continue;
        if (line.error) throw new Error(`${execute}: ${line.error.desc ?? 'refused'}`);
        return line.return;
      }
    };
    await execute('qmp_capabilities');
    return await use({ execute });
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DomainError) throw error;
    const why = error instanceof Error ? error.message : String(error);
    throw new DomainError('ProviderUnavailable', `QEMU does not answer: ${why}.`, { cause: error });
  } finally {
    soon.removeEventListener('abort', stop);
    socket.destroy();
    await folder?.close();
  }
}

function answersOf(socket: Socket): () => Promise<Line> {
  const lines = createInterface({ input: socket })[Symbol.asyncIterator]();
  const failed = new Promise<never>((_resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('it hung up')));
  });
  failed.catch(() => undefined); // told by whoever waits for a line
  return async () => {
    const { value, done } = await Promise.race([lines.next(), failed]);
    if (done) throw new Error('it hung up');
    return JSON.parse(value) as Line;
  };
}
