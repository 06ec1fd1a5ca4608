import type { ChildProcess } from 'node:child_process';

/** Kills a child that was started `detached`, with all that it started in its session. */
export function killSession(child: ChildProcess): void {
  if (child.pid === undefined) return;
  try {
    process.kill(-child.pid, 'SIGKILL');
  } catch {
    child.kill('SIGKILL'); // it has just ended by itself
  }
}
