import { createServer, type AddressInfo, type Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { until } from './until.ts';

/**
 * Where jobs report, outside of their machines (which share the host's loopback): each arrival is a line, and it is answered
 * when it is let go. So a run is counted even when its machine is lost, and a job can be held at a point of its script.
 */
export interface Beacon {
  readonly port: number;
  /** How often this word has arrived. */
  arrivals(word: string): number;
  /** Words that have arrived more than once. */
  repeated(): readonly string[];
  /** Waits until it has arrived. */
  arrived(word: string): Promise<void>;
  /** Answers whoever waits with this word, and whoever comes later. */
  letGo(word: string): void;
  close(): Promise<void>;
}

/** @param open nobody is held: arrivals are only counted */
export async function startBeacon({ open = false } = {}): Promise<Beacon> {
  const counts = new Map<string, number>();
  const free = new Set<string>();
  const waiting = new Map<string, Set<Socket>>();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => sockets.delete(socket));
    createInterface({ input: socket }).on('line', (word) => {
      counts.set(word, (counts.get(word) ?? 0) + 1);
      if (open || free.has(word)) socket.end('go\n');
      else waiting.set(word, (waiting.get(word) ?? new Set()).add(socket));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const arrivals = (word: string): number => counts.get(word) ?? 0;
  return {
    port: (server.address() as AddressInfo).port,
    arrivals,
    repeated: () => [...counts].filter(([, count]) => count > 1).map(([word]) => word),
    arrived: (word) => until(`${word} at the beacon`, () => arrivals(word) > 0),
    letGo(word) {
      free.add(word);
      for (const socket of waiting.get(word) ?? []) socket.end('go\n');
      waiting.delete(word);
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** A shell function `beacon WORD` for bash(1), which reports there and returns when it is let go; it ends the script where it cannot. */
export const beaconFunction = (port: number): string =>
  `beacon() { exec 9<>/dev/tcp/127.0.0.1/${port} && echo "$1" >&9 && read -r said <&9 && exec 9>&- || exit 90; };`;
