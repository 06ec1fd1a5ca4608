import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/**
 * What this host shows of machines of a state folder, without asking slipway: their folders, processes and mounts. The
 * processes of the stack itself do not count.
 */
export function remains(state: string): readonly string[] {
  const machines = join(state, 'local', 'machines');
  const folders = readdirSync(machines).map((id) => `folder ${id}`);
  const mounts = read('/proc/self/mountinfo')
    .split('\n')
    .filter((line) => line.includes(machines))
    .map((line) => `mount ${line.split(' ')[4]}`);
  const ids = machineIds(join(state, 'local', 'local.log'));
  const processes = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      if (read(`/proc/${pid}/cmdline`).includes(machines)) return [`process ${pid}`];
      // Where a machine is no more than processes, each carries its machine's id.
      const environment = read(`/proc/${pid}/environ`).split('\0');
      return environment.some((entry) => ids.has(entry.slice(entry.indexOf('=') + 1))) ? [`process ${pid}`] : [];
    });
  return [...folders, ...mounts, ...processes];
}

/** Of all machines that there ever were. */
function machineIds(log: string): ReadonlySet<string> {
  return new Set(read(log).match(/\bm-[0-9a-f]{16}\b/g) ?? []);
}

/** Processes come and go while one looks. */
function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
