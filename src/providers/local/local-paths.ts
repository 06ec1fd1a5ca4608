import { dirname, join } from 'node:path';

/** What the provider keeps below the state folder's `local/`. */
export interface LocalPaths {
  readonly folder: string;
  /** One folder for each machine, by its id. */
  readonly machines: string;
  /** One tombstone for each destroyed key. */
  readonly tombstones: string;
  /** The next address to give, so that addresses are not reused soon. */
  readonly nextAddress: string;
  /** What every machine of tier `root` starts from. */
  readonly template: string;
  readonly knobs: string;
  /** Who waits at which gate, for tests. */
  readonly held: string;
  readonly log: string;
  readonly lock: string;
  /** In the state folder's `run/`: pid, start time, protocol and socket of the process. */
  readonly pidFile: string;
  /** Where the socket lies when its path is short enough. */
  readonly socket: string;
}

export const localPaths = (folder: string): LocalPaths => ({
  folder,
  machines: join(folder, 'machines'),
  tombstones: join(folder, 'gone'),
  nextAddress: join(folder, 'next-address'),
  template: join(folder, 'template'),
  knobs: join(folder, 'knobs.json'),
  held: join(folder, 'held.json'),
  log: join(folder, 'local.log'),
  lock: join(folder, 'lock'),
  pidFile: join(dirname(folder), 'run', 'local.json'),
  socket: join(folder, 'socket'),
});
