import { connect, type Socket } from 'node:net';
import { onJsonLines, writeLine } from './lines.ts';
import { fromWire, type AnswerLine, type CallName, type Calls, type RequestLine } from './protocol.ts';

/** One connection to the provider's process. It keeps nobody's process alive but while a call is under way. */
export interface Wire {
  /** @throws DomainError of the process, the signal's reason, or what ended the connection */
  call<Name extends CallName>(
    name: Name,
    input: Calls[Name]['input'],
    signal: AbortSignal,
  ): Promise<Calls[Name]['output']>;
  isOpen(): boolean;
  closed: Promise<void>;
  close(): void;
}

/** The connection ended before the answer: whether the call had its effect is not known. */
export class WireLost extends Error {
  override readonly name = 'WireLost';
}

export async function openWire(path: string): Promise<Wire> {
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return overSocket(socket);
}

function overSocket(socket: Socket): Wire {
  const waiting = new Map<
    number,
    { readonly resolve: (output: unknown) => void; readonly reject: (error: unknown) => void }
  >();
  let last = 0;
  let cause: Error | undefined;
  socket.removeAllListeners('error').on('error', (error) => (cause = error));
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      for (const { reject } of waiting.values())
        reject(new WireLost('The process of provider local ended during a call.', cause ? { cause } : {}));
      waiting.clear();
      resolve();
    });
  });
  onJsonLines(socket, (value) => {
    const answer = value as AnswerLine;
    const asked = waiting.get(answer.id);
    waiting.delete(answer.id);
    if (waiting.size === 0) socket.unref();
    if ('failure' in answer) asked?.reject(fromWire(answer.failure));
    else asked?.resolve(answer.output);
  });
  socket.unref();
  return {
    call(name, input, signal) {
      signal.throwIfAborted();
      if (socket.destroyed) return Promise.reject(new WireLost('The process of provider local is gone.'));
      last += 1;
      const id = last;
      return new Promise((resolve, reject) => {
        const stop = (): void => {
          waiting.delete(id);
          if (waiting.size === 0) socket.unref();
          writeLine(socket, { cancel: id } satisfies RequestLine);
          reject(signal.reason as Error);
        };
        const settle =
          <T>(then: (value: T) => void) =>
          (value: T): void => {
            signal.removeEventListener('abort', stop);
            then(value);
          };
        waiting.set(id, { resolve: settle(resolve as (output: unknown) => void), reject: settle(reject) });
        signal.addEventListener('abort', stop, { once: true });
        socket.ref();
        writeLine(socket, { id, call: name, input });
      });
    },
    isOpen: () => !socket.destroyed,
    closed,
    close: () => socket.destroy(),
  };
}
