import { join } from 'node:path';

/** What the provider keeps below the state folder's `qemu/<name>/`. Names are short: a socket's path holds 108 bytes. */
export interface QemuPaths {
  readonly folder: string;
  /** One folder for each machine, by its id. */
  readonly machines: string;
  readonly tombstones: string;
  readonly locks: string;
  /** Images that were fetched, by digest. */
  readonly fetched: string;
  /** Images that were captured, by name. */
  readonly captured: string;
  /** Booted machines to clone from, by digest. */
  readonly templates: string;
  /** What a probe boot found. */
  readonly accelerator: string;
}

export const qemuPaths = (folder: string): QemuPaths => ({
  folder,
  machines: join(folder, 'm'),
  tombstones: join(folder, 'gone'),
  locks: join(folder, 'locks'),
  fetched: join(folder, 'fetched'),
  captured: join(folder, 'captured'),
  templates: join(folder, 't'),
  accelerator: join(folder, 'accelerator.json'),
});
