import { mkdir, readFile, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile, syncFolder } from '../../host/atomic-file.ts';
import type { CreateSpec, OwnerTags } from '../provider.ts';
import type { LocalPaths } from './local-paths.ts';
import { removeTree } from './remove-tree.ts';

export type TierName = 'root' | 'userns' | 'plain';

/** All that is known of one machine, on disk before anything of it is made, so that the next process can adopt it. */
export interface MachineRecord {
  readonly version: 1;
  readonly id: string;
  readonly key: string;
  readonly tags: OwnerTags;
  /** Holds the host key: the file is 0600. */
  readonly spec: CreateSpec;
  readonly tier: TierName;
  readonly diskMb: number;
  readonly address: string;
  readonly port: number;
  /** ISO 8601. */
  readonly createdAt: string;
  /** When it shows itself as running (`bootMs`), ms since the epoch. */
  readonly bootedAtMs: number;
  /** Absent: as it was created. */
  readonly generation?: number;
  /** It was switched off, and stays so. */
  readonly off?: true;
  readonly phase: 'making' | 'made' | 'reloading' | 'destroying';
}

export const generationOf = (record: MachineRecord): number => record.generation ?? 1;

export const machineFolder = (paths: LocalPaths, id: string): string => join(paths.machines, id);
const recordPath = (paths: LocalPaths, id: string): string => join(machineFolder(paths, id), 'machine.json');

/** The first record of a machine: durable before anything of it is made. */
export async function layRecord(paths: LocalPaths, record: MachineRecord): Promise<void> {
  const folder = machineFolder(paths, record.id);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  try {
    await saveRecord(paths, record);
    await syncFolder(paths.machines);
  } catch (error) {
    // A folder without a record is nobody's.
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
}

export const saveRecord = (paths: LocalPaths, record: MachineRecord): Promise<void> =>
  replaceFile(recordPath(paths, record.id), `${JSON.stringify(record)}\n`);

/** A folder whose record was never written holds nothing and is removed. */
export async function loadRecords(paths: LocalPaths): Promise<readonly MachineRecord[]> {
  const records: MachineRecord[] = [];
  for (const id of await readdir(paths.machines)) {
    if (await exists(recordPath(paths, id)))
      records.push(JSON.parse(await readFile(recordPath(paths, id), 'utf8')) as MachineRecord);
    else await rm(machineFolder(paths, id), { recursive: true, force: true });
  }
  return records;
}

/** The record goes last: until then the next process goes on removing. */
export async function removeRecord(paths: LocalPaths, id: string): Promise<void> {
  const folder = machineFolder(paths, id);
  for (const name of await readdir(folder).catch(() => [])) {
    if (name !== 'machine.json') await removeTree(join(folder, name));
  }
  await rm(folder, { recursive: true, force: true });
  await syncFolder(paths.machines);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}
