import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** A process, and what tells it from a later one that got the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Opaque: equal only for the same process on the same boot. */
  readonly start: string;
}

/** Of a process of this boot, from field 22 of its `/proc/<pid>/stat` (proc(5)): clock ticks since the boot. */
export const startOnLinux = (ticks: string): string =>
  `${readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()}:${ticks}`;

/**
 * A zombie has ended, only its parent has not looked yet; unless other threads of it are still ending: they hold its ports
 * and files.
 */
function linuxStart(pid: number): string | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR') return undefined;
    throw error;
  }
  // After the name, which may itself hold blanks and brackets.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ended = (fields[0] === 'Z' || fields[0] === 'X') && Number(fields[17]) <= 1;
  return ended ? undefined : startOnLinux(fields[19] ?? '');
}

function otherStart(pid: number): string | undefined {
  try {
    const text = execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8', env: { LC_ALL: 'C' } });
    return text.trim() || undefined;
  } catch (error) {
    // ps ends with 1 when there is no such process.
    if ((error as { status?: number | null }).status === 1) return undefined;
    throw error;
  }
}

/** Nothing when no such process lives. */
export const processStart = (pid: number): string | undefined =>
  process.platform === 'linux' ? linuxStart(pid) : otherStart(pid);

export const isAlive = (known: ProcessIdentity): boolean => processStart(known.pid) === known.start;

export function thisProcess(): ProcessIdentity {
  const start = processStart(process.pid);
  if (start === undefined) throw new Error(`The process ${process.pid} does not find itself in the process table`);
  return { pid: process.pid, start };
}

/** To the process, or with a negative pid to its group; one that is gone already is fine. */
export function signalProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
