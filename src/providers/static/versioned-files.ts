import { link, mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { partBeside, syncFolder } from '../../host/atomic-file.ts';
import { noneIfMissing } from '../../host/missing.ts';

/** A value, and which one of its name it is. */
export interface Versioned<T> {
  readonly version: number;
  readonly value: T;
}

/**
 * Values by name on disk, for any number of processes at once and without locks, also over a shared volume: a change is the
 * file of the next version, made by a hard link, which only one can make.
 */
export interface VersionedFiles<T> {
  /** The latest of every name. */
  all(): Promise<ReadonlyMap<string, Versioned<T>>>;
  latest(name: string): Promise<Versioned<T> | undefined>;
  /** @param before the version that it follows; 0: none @returns false when another came first */
  replace(name: string, before: number, value: T): Promise<boolean>;
  /** Of what nobody will change any more. */
  remove(name: string): Promise<void>;
}

/** @param folder absolute */
export function versionedFiles<T>(folder: string): VersionedFiles<T> {
  const path = (name: string, version: number): string => join(folder, `${name}.${version}`);

  /** By name, all versions that are there: lower ones than the highest are about to be removed. */
  const versions = async (): Promise<ReadonlyMap<string, readonly number[]>> => {
    const found = new Map<string, number[]>();
    for (const file of await namesIn(folder)) {
      const [, name = '', version = ''] = /^([^.].*)\.(\d+)$/.exec(file) ?? [];
      if (name !== '') found.set(name, [...(found.get(name) ?? []), Number(version)]);
    }
    return found;
  };
  const highest = (of: readonly number[] = []): number => Math.max(0, ...of);

  const latest = async (name: string, known?: number): Promise<Versioned<T> | undefined> => {
    for (let version = known; ; version = undefined) {
      version ??= highest((await versions()).get(name));
      if (version === 0) return undefined;
      const value = await readJson<T>(path(name, version));
      if (value !== undefined) return { version, value };
      // Replaced while we looked.
    }
  };
  return {
    async all() {
      const found = new Map<string, Versioned<T>>();
      for (const [name, of] of await versions()) {
        const value = await latest(name, highest(of));
        if (value) found.set(name, value);
      }
      return found;
    },
    latest: (name) => latest(name),
    async replace(name, before, value) {
      const mine = path(name, before + 1);
      if (!(await linkNew(folder, mine, value))) return false;
      const there = (await versions()).get(name) ?? [];
      // The next version was made and removed long ago: whoever comes so late must not count.
      if (highest(there) !== before + 1) {
        await rm(mine, { force: true });
        return false;
      }
      for (const version of there) if (version <= before) await rm(path(name, version), { force: true });
      return true;
    },
    async remove(name) {
      for (const version of (await versions()).get(name) ?? []) await rm(path(name, version), { force: true });
    },
  };
}

async function namesIn(folder: string): Promise<readonly string[]> {
  return (await readdir(folder).catch(noneIfMissing)) ?? [];
}

async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await readFile(path, 'utf8').catch(noneIfMissing);
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

/** Whole and durable, or not there. @returns false when that name is there already */
async function linkNew(folder: string, path: string, value: unknown): Promise<boolean> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const part = partBeside(path);
  try {
    const handle = await open(part, 'wx', 0o600);
    try {
      await handle.writeFile(JSON.stringify(value));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await link(part, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  } finally {
    await rm(part, { force: true });
  }
  await syncFolder(folder);
  return true;
}
