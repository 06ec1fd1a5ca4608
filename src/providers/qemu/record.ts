import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile, syncFolder } from '../../host/atomic-file.ts';
import { noneIfMissing } from '../../host/missing.ts';
import type { CreateSpec, OwnerTags } from '../provider.ts';
import type { QemuPaths } from './paths.ts';
import type { Accelerator, ImageSettings } from './settings.ts';
import type { Wanted } from './variant.ts';

/** All that is known of one machine: in its folder from before anything of it is made. */
export interface MachineRecord {
  readonly version: 1;
  readonly id: string;
  readonly key: string;
  readonly tags: OwnerTags;
  /** Holds the host key: the file is 0600. */
  readonly spec: CreateSpec;
  readonly wanted: Wanted;
  readonly user: string;
  /** Where its guest's port 22 is on loopback. */
  readonly port: number;
  /** ISO 8601. */
  readonly createdAt: string;
  readonly generation: number;
  /** How it is booted. */
  readonly image: ImageSettings;
  /** Absolute path of what its disk lies upon. */
  readonly base: { readonly file: string; readonly format: 'qcow2' | 'raw'; readonly image: string };
  /** Id of the template that it is a clone of. */
  readonly template?: string;
  /** Why it is none, of an image that is warm. */
  readonly cold?: string;
  /** `making`: it is made anew by whoever has its lock. `off`: nobody wants it to run. */
  readonly phase: 'making' | 'on' | 'off' | 'destroying';
  /** With which it was started last. */
  readonly accelerator?: Accelerator;
  /** How often it was switched on since it was made. */
  readonly boots: number;
}

/** The same for a key in every process. */
export const idOf = (key: string): string => createHash('sha256').update(key).digest('hex').slice(0, 16);

export const machineFolder = (paths: QemuPaths, id: string): string => join(paths.machines, id);
const recordPath = (folder: string): string => join(folder, 'machine.json');

/** A folder that is being made, or removed, and no machine. */
const isPart = (name: string): boolean => name.startsWith('.');

/** Its folder appears at once with the record in it. */
export async function layRecord(paths: QemuPaths, record: MachineRecord): Promise<void> {
  const part = join(paths.machines, `.new-${record.id}-${randomBytes(4).toString('hex')}`);
  try {
    await mkdir(part, { recursive: true, mode: 0o700 });
    await writeFile(recordPath(part), `${JSON.stringify(record)}\n`, { mode: 0o600, flush: true });
    await rename(part, machineFolder(paths, record.id));
    await syncFolder(paths.machines);
  } catch (error) {
    await rm(part, { recursive: true, force: true });
    throw error;
  }
}

export const saveRecord = (paths: QemuPaths, record: MachineRecord): Promise<void> =>
  replaceFile(recordPath(machineFolder(paths, record.id)), `${JSON.stringify(record)}\n`);

export async function loadRecord(paths: QemuPaths, id: string): Promise<MachineRecord | undefined> {
  // It is part of a path, and comes from who calls.
  if (!/^[0-9a-f]{16}$/.test(id)) return undefined;
  const text = await readFile(recordPath(machineFolder(paths, id)), 'utf8').catch(noneIfMissing);
  return text === undefined ? undefined : (JSON.parse(text) as MachineRecord);
}

export async function loadRecords(paths: QemuPaths): Promise<readonly MachineRecord[]> {
  const names = (await readdir(paths.machines).catch(noneIfMissing)) ?? [];
  const found: MachineRecord[] = [];
  for (const name of names) {
    if (isPart(name)) continue;
    const record = await loadRecord(paths, name);
    if (record) found.push(record);
  }
  return found;
}

/** It is gone at once; what a crash leaves of the folder goes with the next one. */
export async function removeRecord(paths: QemuPaths, id: string): Promise<void> {
  const aside = join(paths.machines, `.gone-${id}-${randomBytes(4).toString('hex')}`);
  await rename(machineFolder(paths, id), aside).catch(noneIfMissing);
  for (const name of (await readdir(paths.machines).catch(noneIfMissing)) ?? []) {
    const path = join(paths.machines, name);
    const left = name.startsWith('.gone-') || (name.startsWith('.new-') && (await isOld(path)));
    if (left) await rm(path, { recursive: true, force: true });
  }
}

/** Nobody is in the middle of making it. */
const oldMs = 60_000;
async function isOld(path: string): Promise<boolean> {
  const found = await stat(path).catch(noneIfMissing);
  return found !== undefined && found.mtimeMs < Date.now() - oldMs;
}
