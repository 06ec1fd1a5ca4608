import { rmSync, writeFileSync } from 'node:fs';

/** A health check may take a file of three beats ago for that of a process that hangs. */
const beatMs = 5_000;

/**
 * Keeps a file there and fresh while this process serves, for health checks that cannot ask it over the network: it goes at
 * the first SIGTERM or SIGINT and at the end, and grows old when the process hangs.
 */
export function keepReadyFile(path: string): void {
  const beat = (): void =>
    writeFileSync(path, `${JSON.stringify({ pid: process.pid, at: new Date().toISOString() })}\n`);
  beat();
  const beating = setInterval(beat, beatMs);
  beating.unref();
  const end = (): void => {
    clearInterval(beating);
    rmSync(path, { force: true });
  };
  for (const event of ['SIGTERM', 'SIGINT', 'exit'] as const) process.once(event, end);
}
