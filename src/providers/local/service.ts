import { createServer, type Socket } from 'node:net';
import type { Logger } from 'pino';
import type { Build } from '../../host/build.ts';
import type { ProviderCheck } from '../provider.ts';
import type { Fleet } from './fleet.ts';
import { onJsonLines, writeLine } from './lines.ts';
import { protocolVersion, toWire, type CallLine, type Hello, type RequestLine } from './protocol.ts';

export interface Service {
  /** Fulfilled when the process is to end: it was asked to, or nobody needs it. */
  readonly over: Promise<string>;
  close(): Promise<void>;
}

export interface ServiceOptions {
  readonly socket: string;
  readonly startedAt: string;
  readonly build: Build;
  readonly fleet: Fleet;
  readonly check: () => ProviderCheck;
  /** How long without a machine and without a client before it ends, read at each look. */
  readonly idleMs: () => number;
  readonly logger: Logger;
}

const looksPerIdle = 10;
const rarestLookMs = 1_000;

/** Answers calls on the unix socket, any number of clients at once. */
export async function startService(options: ServiceOptions): Promise<Service> {
  const { fleet, logger } = options;
  const clients = new Set<Socket>();
  let end: (why: string) => void = () => undefined;
  const over = new Promise<string>((resolve) => (end = resolve));
  let busyAtMs = Date.now();
  const hello: Hello = {
    protocol: protocolVersion,
    build: options.build,
    pid: process.pid,
    startedAt: options.startedAt,
  };

  const answer = (line: CallLine, signal: AbortSignal): unknown => {
    switch (line.call) {
      case 'hello':
        return hello;
      case 'leave':
        return null;
      case 'create':
        return fleet.create(line.input, signal);
      case 'findByKey':
        return fleet.findByKey(line.input.key, line.input.installation);
      case 'get':
        return fleet.get(line.input.ref);
      case 'list':
        return fleet.list(line.input.installation);
      case 'destroy':
        return fleet.destroy(line.input.ref, signal);
      case 'reload':
        return fleet.reload(line.input.ref, line.input.spec, line.input.generation, signal);
      case 'rekey':
        return fleet.rekey(line.input.ref, line.input.identity, line.input.generation);
      case 'power':
        return fleet.power(line.input.ref, line.input.action);
      case 'console':
        return fleet.console(line.input.ref, line.input.maxBytes);
      case 'check':
        return options.check();
      default:
        throw new TypeError(`unknown call ${JSON.stringify((line as { call: unknown }).call)}`);
    }
  };

  const server = createServer((socket) => {
    const gone = new AbortController();
    const calls = new Map<number, AbortController>();
    clients.add(socket);
    socket.on('error', (error) => logger.debug({ error }, 'a client broke off'));
    socket.once('close', () => {
      clients.delete(socket);
      busyAtMs = Date.now();
      gone.abort();
    });
    const take = async (line: CallLine): Promise<void> => {
      const cancelled = new AbortController();
      calls.set(line.id, cancelled);
      try {
        const output = (await answer(line, AbortSignal.any([gone.signal, cancelled.signal]))) ?? null;
        writeLine(socket, { id: line.id, output });
        if (line.call === 'leave') end('asked to leave');
      } catch (error) {
        if (!gone.signal.aborted && !cancelled.signal.aborted)
          logger.info({ call: line.call, error }, 'a call was refused');
        writeLine(socket, { id: line.id, failure: toWire(error) });
      } finally {
        calls.delete(line.id);
      }
    };
    onJsonLines(socket, (value) => {
      const line = value as RequestLine;
      if ('cancel' in line) calls.get(line.cancel)?.abort();
      else void take(line);
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.socket, resolve);
  });
  server.on('error', (error) => logger.error({ error }, 'socket failed'));

  let looking: NodeJS.Timeout | undefined;
  const look = (): void => {
    const idleMs = options.idleMs();
    if (clients.size > 0 || fleet.size() > 0) busyAtMs = Date.now();
    else if (Date.now() - busyAtMs >= idleMs) end(`idle for ${idleMs} ms`);
    looking = setTimeout(look, Math.min(rarestLookMs, Math.max(10, idleMs / looksPerIdle)));
  };
  look();
  return {
    over,
    close: () =>
      new Promise((resolve) => {
        clearTimeout(looking);
        server.close(() => resolve());
        for (const socket of clients) socket.end();
        for (const socket of clients) setTimeout(() => socket.destroy(), 200).unref();
      }),
  };
}
