import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process';
import { built } from './built.ts';
import { findOnPath } from '../host/find-on-path.ts';

/** How a process ended: its exit status, or the signal that ended it. */
export type ProcessEnd = number | NodeJS.Signals;

/** A process that dies with the one that started it, also when that is killed with -9. */
export interface BoundProcess {
  readonly pid: number;
  readonly ended: Promise<ProcessEnd>;
  readonly end: () => ProcessEnd | undefined;
  /** Nothing happens when it has ended. */
  readonly kill: (signal: NodeJS.Signals) => void;
}

export interface BoundOptions {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** An open file that takes standard output and standard error. */
  readonly log: number;
  /** How it is tied to us; found out when not given. */
  readonly tie?: Tie;
}

/** `pdeathsig`: the kernel kills it (Linux). `pipe`: a guardian does, which notices that our end of a pipe has closed. */
export type Tie = { readonly kind: 'pdeathsig'; readonly setpriv: string } | { readonly kind: 'pipe' };

/** setpriv of util-linux can do it, busybox's cannot. */
export function findTie(path: string): Tie {
  const setpriv = findOnPath('setpriv', path);
  if (setpriv === undefined) return { kind: 'pipe' };
  const tried = spawnSync(setpriv, ['--pdeathsig', 'KILL', '--', setpriv, '--version'], { stdio: 'ignore' });
  return tried.status === 0 ? { kind: 'pdeathsig', setpriv } : { kind: 'pipe' };
}

const guardian = built('dev/guardian.js');

/**
 * Starts a process in a session of its own, so that Ctrl-C in our terminal does not reach it before we say so.
 * @throws when it cannot be started
 */
export async function spawnBound(options: BoundOptions): Promise<BoundProcess> {
  const tie = options.tie ?? findTie(options.env['PATH'] ?? '');
  const [command, ...args] =
    tie.kind === 'pdeathsig'
      ? [tie.setpriv, '--pdeathsig', 'KILL', '--', options.command, ...options.args]
      : [process.execPath, guardian, options.command, ...options.args];
  const stdio: StdioOptions = ['ignore', options.log, options.log, ...(tie.kind === 'pipe' ? (['pipe'] as const) : [])];
  const child = spawn(command, args, { env: { ...options.env }, stdio, detached: true });
  const pid = await started(child);
  let end: ProcessEnd | undefined;
  const ended = new Promise<ProcessEnd>((resolve) => {
    child.once('exit', (code, signal) => {
      end = code ?? signal ?? 1;
      resolve(end);
    });
  });
  const kill = (signal: NodeJS.Signals) => {
    const pipe = child.stdio[3];
    // The guardian must outlive what it guards: closing the pipe makes it kill that first.
    if (signal === 'SIGKILL' && pipe) pipe.destroy();
    else child.kill(signal);
  };
  return { pid, ended, end: () => end, kill };
}

async function started(child: ChildProcess): Promise<number> {
  if (child.pid !== undefined) return child.pid;
  return new Promise((_resolve, reject) => child.once('error', reject));
}
