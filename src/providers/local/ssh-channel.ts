import { readFileSync, readlinkSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import type { ServerChannel } from 'ssh2';
import { signalProcess } from '../../host/process-identity.ts';
import { forwardOutput } from './ssh-output.ts';

/**
 * Joins a channel and a process as sshd does: the exit is told when the process ends, the channel closes when nobody holds
 * its output any more. Streams wait for each other, so any amount of output needs a bounded amount of memory.
 */
export function joinChannel(channel: ServerChannel, child: ChildProcess, hangUp: boolean): void {
  const { stdin, stdout, stderr } = child;
  let closed = false;
  let spawned = true;
  if (stdin) {
    channel.pipe(stdin);
    // The process need not read what it is sent.
    stdin.on('error', () => channel.unpipe(stdin).resume());
  }
  const forwarded = stdout && stderr ? forwardOutput(channel, stdout, stderr) : Promise.resolve();
  child.once('error', (error) => {
    spawned = false;
    channel.stderr.write(`slipway: ${error.message}\n`);
    channel.exit(127);
    channel.end();
  });
  child.once('exit', (code, signal) => {
    if (closed) return;
    if (signal === null) channel.exit(code ?? 255);
    else channel.exit(signal.replace(/^SIG/, ''), false, '');
  });
  child.once('close', () => {
    const end = (): void => {
      if (!closed && spawned) channel.end();
    };
    void forwarded.then(end, end);
  });
  channel.on('error', () => channel.destroy());
  channel.once('close', () => {
    closed = true;
    stdin?.destroy();
    stdout?.destroy();
    stderr?.destroy();
    // A terminal that is gone hangs up; without one a process goes on, as under sshd.
    if (hangUp && child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      signalInside(child.pid, 'SIGHUP');
  });
}

/** To the process behind the entering one, which passes its end on. */
export function signalInside(pid: number, signal: NodeJS.Signals): void {
  const inside = childrenOf(pid);
  for (const each of inside.length > 0 ? inside : [pid]) signalProcess(each, signal);
}

/** The terminal of the first process below this one that has one, as the host calls it. */
export function terminalBelow(pid: number): { readonly pid: number; readonly name: string } | undefined {
  for (const child of childrenOf(pid)) {
    const name = linkOf(`/proc/${child}/fd/0`);
    if (name?.startsWith('/dev/pts/')) return { pid: child, name };
    const below = terminalBelow(child);
    if (below) return below;
  }
  return undefined;
}

function childrenOf(pid: number): readonly number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'latin1').split(' ').filter(Boolean).map(Number);
  } catch (error) {
    if (isGone(error)) return [];
    throw error;
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (isGone(error)) return undefined;
    throw error;
  }
}

const isGone = (error: unknown): boolean =>
  ['ENOENT', 'ESRCH', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '');
