import {
  closeSync,
  constants,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  watch,
  type FSWatcher,
} from 'node:fs';
import { join } from 'node:path';
import { isAlive, startOnLinux, type ProcessIdentity } from '../../host/process-identity.ts';

/** By the name in /proc/<pid>/ns: the flag of nsenter(1). */
const namespaces = { user: 'user', mnt: 'mount', uts: 'uts', ipc: 'ipc', pid: 'pid' } as const;

/**
 * One boot of a machine, held by descriptors: a pid could be another process's by the time it is used, and then a guest's
 * command would run on the host.
 */
export interface Boot extends ProcessIdentity {
  readonly bootId: string;
  /** Arguments of nsenter(1). */
  readonly enter: readonly string[];
  /** The machine's root folder, as a path of this process. */
  readonly root: string;
  close(): void;
}

/** What the machine's `boot` file says, when it is up. */
export function readBoot(folder: string): (ProcessIdentity & { readonly bootId: string }) | undefined {
  const [pid, start, bootId] = readLine(join(folder, 'boot'));
  if (pid === undefined || start === undefined || bootId === undefined) return undefined;
  const boot = { pid: Number(pid), start: startOnLinux(start), bootId };
  return isAlive(boot) ? boot : undefined;
}

/** The process that holds the machine's disk and reboots it. */
export function readKeeper(folder: string): ProcessIdentity | undefined {
  const [pid, start] = readLine(join(folder, 'keeper'));
  if (pid === undefined || start === undefined) return undefined;
  const keeper = { pid: Number(pid), start: startOnLinux(start) };
  return isAlive(keeper) ? keeper : undefined;
}

export function openBoot(folder: string): Boot | undefined {
  const boot = readBoot(folder);
  if (!boot) return undefined;
  const open: number[] = [];
  const close = (): void => {
    for (const fd of open.splice(0)) closeSync(fd);
  };
  const hold = (name: string, flags: number): string => {
    const fd = openSync(`/proc/${boot.pid}/${name}`, flags);
    open.push(fd);
    return `/proc/${process.pid}/fd/${fd}`;
  };
  try {
    const users = hasOwnUsers(boot.pid);
    const own = Object.entries(namespaces).filter(([name]) => name !== 'user' || users);
    const held = own.map(([name, flag]) => `--${flag}=${hold(`ns/${name}`, constants.O_RDONLY)}`);
    // Whoever made a namespace of users is its root already.
    const enter = users ? [...held, '--preserve-credentials'] : held;
    const root = hold('root', constants.O_RDONLY | constants.O_DIRECTORY);
    // Alive after the last look: so everything that was opened is this process's.
    if (isAlive(boot)) return { ...boot, enter, root, close };
  } catch (error) {
    close();
    if (isAlive(boot)) throw error;
  }
  close();
  return undefined;
}

/**
 * The processes of this host that stand outside with one foot in the machine: nsenter(1) stops itself when its child is
 * stopped, reaps it no more, and the machine's pid 1 waits for that without end.
 * @param pid the machine's first process, while it is there
 * @returns a look, to be repeated: a session may be just entering
 */
export function enteredFromOutside(pid: number): () => readonly number[] {
  const machine = link(`/proc/${pid}/ns/pid`);
  return () =>
    machine === undefined
      ? []
      : readdirSync('/proc')
          .filter((name) => /^\d+$/.test(name) && link(`/proc/${name}/ns/pid_for_children`) === machine)
          .filter((name) => link(`/proc/${name}/ns/pid`) !== machine)
          .map(Number);
}

function link(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // It has ended, or is another user's.
    return undefined;
  }
}

/** A namespace of users other than ours. */
const hasOwnUsers = (pid: number): boolean =>
  readlinkSync(`/proc/${pid}/ns/user`) !== readlinkSync('/proc/self/ns/user');

/** Where the host has no inotify instance left. */
const lookAgainMs = 250;

/** Calls back when the machine may have booted or ended. */
export function watchBoots(folder: string, changed: () => void): { readonly close: () => void } {
  let polling: NodeJS.Timeout | undefined;
  const poll = (): void => {
    polling ??= setInterval(changed, lookAgainMs);
  };
  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(folder, (_event, name) => {
      if (name === 'boot' || name === 'ended') changed();
    });
    watcher.on('error', poll);
  } catch {
    poll();
  }
  return {
    close() {
      watcher?.close();
      clearInterval(polling);
    },
  };
}

/** Words of the file's first line; none while it is not written whole. */
function readLine(path: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(path, 'latin1');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
  return text.endsWith('\n') ? text.trim().split(' ') : [];
}
