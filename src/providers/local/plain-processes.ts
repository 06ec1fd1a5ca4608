import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { signalProcess } from '../../host/process-identity.ts';

/** In the environment of everything that runs on a machine of tier `plain`. */
export const cookieName = 'SLIPWAY_MACHINE';

const lookMs = 10;

/**
 * A process may drop its environment, its parent and its session, but an ordinary user cannot raise a hard limit: the mark
 * of a machine is one of file size that is none, another for each. In blocks of 512 bytes (`ulimit -f`, POSIX), above what
 * tasks take for theirs, which are soft ones (task-run.sh).
 */
export function markOf(machineId: string): bigint {
  const [name = 0n] = new BigUint64Array(createHash('sha256').update(machineId).digest().buffer.slice(0, 8));
  return (1n << 53n) + (name & ((1n << 51n) - 1n));
}

/** Starts the words under the mark of the machine. A host's own, lower limit stays; then the cookie has to do. */
export const marked = (machineId: string, words: readonly string[]): readonly string[] => [
  '/bin/sh',
  '-c',
  '{ ulimit -f "$0"; } 2>/dev/null; exec "$@"',
  String(markOf(machineId)),
  ...words,
];

/** Kills all of the machine, again and again until a look finds none: what it starts meanwhile has the cookie too. */
export async function killByCookie(cookie: string, withinMs: number): Promise<readonly number[]> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const found = processesWith(cookie);
    if (found.length === 0 || Date.now() > deadline) return found;
    // Stopped first, none of them can start another while we go through the list.
    for (const pid of found) signalProcess(pid, 'SIGSTOP');
    for (const pid of found) signalProcess(pid, 'SIGKILL');
    await pause(lookMs);
  }
}

/** Living processes with the mark or with the cookie in their environment, and all that descend from them. */
export function processesWith(cookie: string): readonly number[] {
  const wanted = Buffer.from(`\0${cookieName}=${cookie}\0`);
  const mark = new RegExp(`^Max file size +\\d+ +${markOf(cookie) * 512n} `, 'm');
  const parents = new Map<number, number>();
  const found = new Set<number>();
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    const parent = livingParent(pid);
    if (parent === undefined) continue;
    parents.set(pid, parent);
    if (mark.test(read(`/proc/${pid}/limits`)?.toString('latin1') ?? '')) found.add(pid);
    const environment = read(`/proc/${pid}/environ`);
    if (environment && Buffer.concat([Buffer.of(0), environment]).includes(wanted)) found.add(pid);
  }
  for (let before = -1; before !== found.size;) {
    before = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return [...found];
}

/** Nothing for one that is gone, or a zombie. */
function livingParent(pid: number): number | undefined {
  const stat = read(`/proc/${pid}/stat`)?.toString('latin1');
  if (stat === undefined) return undefined;
  const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return state === 'Z' || state === 'X' ? undefined : Number(parent);
}

/** Nothing when the process is gone, or another user's. */
function read(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}
