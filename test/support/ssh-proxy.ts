import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

/** The side that bytes travel to. */
export type Toward = 'guest' | 'worker';

export type WireFault =
  /** Both ends hear of the end when so many bytes have passed in this direction. */
  | { readonly fault: 'cut'; readonly toward: Toward; readonly afterBytes: number }
  /** As cut, by a reset. */
  | { readonly fault: 'reset'; readonly toward: Toward; readonly afterBytes: number }
  /** From then on silence: what is sent vanishes, and nobody is told. */
  | { readonly fault: 'stall'; readonly toward: Toward; readonly afterBytes: number }
  /** A new connection is reset before a byte has passed. */
  | { readonly fault: 'refuse' }
  | { readonly fault: 'slow'; readonly bytesPerSecond: number };
export type WireFaultName = WireFault['fault'];

export interface SshProxy {
  readonly port: number;
  /**
   * Bytes count from now on, or from a later connection's beginning. `cut`, `reset` and `stall` strike once, on the first
   * connection that has come so far; `refuse` and `slow` stand until they are cleared.
   * @param address of one machine; without it any connection
   * @returns takes it back
   */
  arm(fault: WireFault, address?: string): () => void;
  /** What is armed strikes no more. */
  clear(address?: string): void;
  /** Ends open connections by a reset, now. @returns how many */
  reset(address?: string): number;
  /** Open connections fall silent, now. @returns how many */
  hang(address?: string): number;
  /** Nobody listens, until `acceptAgain`: the port itself refuses. */
  refuseAll(): Promise<void>;
  acceptAgain(): Promise<void>;
  connections(address?: string): number;
  /** How often each fault has struck. */
  struck(): Readonly<Record<WireFaultName, number>>;
  close(): Promise<void>;
}

export interface SshProxyOptions {
  /** Where a connection goes on, by the loopback address that it was made to. */
  readonly to: (address: string) => { readonly host: string; readonly port: number };
  /** `0.0.0.0` serves every loopback address at once, on one port; what comes from elsewhere is dropped. */
  readonly host?: '127.0.0.1' | '0.0.0.0';
  readonly port?: number;
}

interface Pair {
  readonly address: string;
  readonly ends: Readonly<Record<Toward, Socket>>;
  readonly passed: Record<Toward, number>;
  silent: boolean;
}
interface Armed {
  readonly fault: WireFault;
  readonly address: string | undefined;
  /** What had passed on connections that were open already. */
  readonly from: ReadonlyMap<Pair, number>;
}

/** A wire between us and guests that is as bad as it is told to be. It sees no plain text: host keys stay pinned end to end. */
export async function startSshProxy(options: SshProxyOptions): Promise<SshProxy> {
  const { to, host = '127.0.0.1' } = options;
  const pairs = new Set<Pair>();
  let armed: Armed[] = [];
  const struck: Record<WireFaultName, number> = { cut: 0, reset: 0, stall: 0, refuse: 0, slow: 0 };
  const at = (address: string | undefined): Pair[] =>
    [...pairs].filter((pair) => address === undefined || pair.address === address);
  const about = (address: string): readonly Armed[] =>
    armed.filter((each) => each.address === undefined || each.address === address);
  const standing = (address: string, name: 'refuse' | 'slow') =>
    about(address).find(({ fault }) => fault.fault === name)?.fault;

  const end = ({ ends }: Pair, how: 'cut' | 'reset'): void => {
    for (const socket of Object.values(ends)) {
      if (how === 'reset') socket.resetAndDestroy();
      else socket.end(() => socket.destroy());
    }
  };
  /** The first that this piece would reach, and how much of the piece still passes. */
  const reached = (pair: Pair, toward: Toward, bytes: number) => {
    const limits = about(pair.address).flatMap((each) => {
      const { fault } = each;
      if (!('afterBytes' in fault) || fault.toward !== toward) return [];
      const left = fault.afterBytes + (each.from.get(pair) ?? 0) - pair.passed[toward];
      return left <= bytes ? [{ each, fault, left: Math.max(0, left) }] : [];
    });
    return limits.sort((a, b) => a.left - b.left)[0];
  };
  const pass = async (pair: Pair, toward: Toward, bytes: Buffer): Promise<void> => {
    const limit = reached(pair, toward, bytes.length);
    const part = limit ? bytes.subarray(0, limit.left) : bytes;
    pair.passed[toward] += part.length;
    const socket = pair.ends[toward];
    if (part.length > 0 && !socket.destroyed) await new Promise((resolve) => socket.write(part, resolve));
    if (!limit || !armed.includes(limit.each)) return;
    armed = armed.filter((each) => each !== limit.each);
    struck[limit.fault.fault] += 1;
    if (limit.fault.fault === 'stall') pair.silent = true;
    else end(pair, limit.fault.fault);
  };
  const pump = async (pair: Pair, toward: Toward): Promise<void> => {
    const source = pair.ends[toward === 'guest' ? 'worker' : 'guest'];
    for await (const chunk of source.iterator({ destroyOnReturn: false })) {
      let bytes = chunk as Buffer;
      while (bytes.length > 0 && !pair.silent) {
        const slow = standing(pair.address, 'slow');
        const most = slow?.fault === 'slow' ? Math.max(1, Math.floor(slow.bytesPerSecond / 20)) : bytes.length;
        const piece = bytes.subarray(0, most);
        bytes = bytes.subarray(piece.length);
        if (slow?.fault === 'slow') await sleep((1_000 * piece.length) / slow.bytesPerSecond);
        await pass(pair, toward, piece);
      }
    }
    pair.ends[toward].end();
  };

  const take = (worker: Socket): void => {
    const address = worker.localAddress ?? '';
    worker.on('error', () => undefined);
    if (!(worker.remoteAddress ?? '').startsWith('127.') || standing(address, 'refuse')) {
      struck.refuse += 1;
      worker.resetAndDestroy();
      return;
    }
    if (standing(address, 'slow')) struck.slow += 1;
    worker.setNoDelay(true);
    const guest = connect({ ...to(address), noDelay: true });
    const pair: Pair = { address, ends: { worker, guest }, passed: { worker: 0, guest: 0 }, silent: false };
    pairs.add(pair);
    guest.on('error', () => undefined);
    for (const socket of [worker, guest]) {
      socket.once('close', () => {
        pairs.delete(pair);
        worker.destroy();
        guest.destroy();
      });
    }
    // An end that breaks off ends the loop that reads from it.
    for (const toward of ['guest', 'worker'] as const) pump(pair, toward).catch(() => end(pair, 'cut'));
  };

  let server = await listen(host, options.port ?? 0, take);
  const { port } = server.address() as AddressInfo;
  const stopListening = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()));
  return {
    port,
    arm(fault, address) {
      const from = new Map<Pair, number>();
      if ('toward' in fault) for (const pair of at(address)) from.set(pair, pair.passed[fault.toward]);
      const mine: Armed = { fault, address, from };
      armed.push(mine);
      if (fault.fault === 'slow') struck.slow += at(address).length;
      return () => void (armed = armed.filter((each) => each !== mine));
    },
    clear(address) {
      armed = armed.filter((each) => address !== undefined && each.address !== address);
    },
    reset(address) {
      const open = at(address);
      for (const pair of open) end(pair, 'reset');
      struck.reset += open.length;
      return open.length;
    },
    hang(address) {
      const open = at(address);
      for (const pair of open) pair.silent = true;
      struck.stall += open.length;
      return open.length;
    },
    async refuseAll() {
      // Open connections go on: closing waits for them, so nobody waits for closing.
      void stopListening();
    },
    async acceptAgain() {
      server = await listen(host, port, take);
    },
    connections: (address) => at(address).length,
    struck: () => ({ ...struck }),
    async close() {
      for (const pair of pairs) end(pair, 'reset');
      if (server.listening) await stopListening();
    },
  };
}

function listen(host: string, port: number, take: (socket: Socket) => void): Promise<Server> {
  const server = createServer(take);
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, () => resolve(server));
  });
}
