import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { noneIfMissing } from './missing.ts';
import { isAlive, thisProcess, type ProcessIdentity } from './process-identity.ts';

export interface LockHolder extends ProcessIdentity {
  /** ISO 8601: since when. */
  readonly since: string;
}

export type LockResult =
  { readonly held: true; readonly release: () => Promise<void> } | { readonly held: false; readonly by: LockHolder };

interface Entry {
  readonly generation: number;
  readonly path: string;
}

/**
 * A lock that a kill -9 cannot leave behind, without flock (which Node has not): each holder makes the file of the next
 * generation, `<lock>.<n>`, by a hard link, and only over a holder that is dead or has let go. The highest generation is
 * never removed, only marked, so that no slow rival can make a lower one count.
 * @returns who holds it when it is not us; nothing is waited for
 */
export async function takeLock(path: string): Promise<LockResult> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const mine: LockHolder = { ...thisProcess(), since: new Date().toISOString() };
  const part = join(dirname(path), `.${basename(path)}-${process.pid}-${randomBytes(6).toString('hex')}`);
  await writeFile(part, JSON.stringify(mine), { mode: 0o600 });
  try {
    for (;;) {
      const latest = (await entriesOf(path)).at(-1);
      const holder = latest && (await holderOf(latest.path));
      if (holder !== undefined && isAlive(holder)) return { held: false, by: holder };
      const next = entry(path, (latest?.generation ?? 0) + 1);
      if (!(await linked(part, next.path))) continue;
      const entries = await entriesOf(path);
      if (entries.at(-1)?.generation !== next.generation) {
        await rm(next.path, { force: true });
        continue;
      }
      for (const older of entries.slice(0, -1)) await rm(older.path, { force: true });
      return { held: true, release: () => letGo(next.path) };
    }
  } finally {
    await rm(part, { force: true });
  }
}

/** Who holds the lock now, if anybody. */
export async function lockHolder(path: string): Promise<LockHolder | undefined> {
  const latest = (await entriesOf(path)).at(-1);
  const holder = latest && (await holderOf(latest.path));
  return holder !== undefined && isAlive(holder) ? holder : undefined;
}

const entry = (path: string, generation: number): Entry => ({ generation, path: `${path}.${generation}` });

async function entriesOf(path: string): Promise<readonly Entry[]> {
  const prefix = `${basename(path)}.`;
  const names = (await readdir(dirname(path)).catch(noneIfMissing)) ?? [];
  return names
    .filter((name) => name.startsWith(prefix) && /^\d+$/.test(name.slice(prefix.length)))
    .map((name) => entry(path, Number(name.slice(prefix.length))))
    .sort((a, b) => a.generation - b.generation);
}

async function holderOf(path: string): Promise<LockHolder | undefined> {
  const text = await readFile(path, 'utf8').catch(noneIfMissing);
  return text === undefined || text === '' ? undefined : (JSON.parse(text) as LockHolder);
}

async function linked(part: string, path: string): Promise<boolean> {
  try {
    await link(part, path);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false;
    throw error;
  }
}

async function letGo(path: string): Promise<void> {
  const empty = `${path}-released`;
  await writeFile(empty, '', { mode: 0o600 });
  await rename(empty, path);
}
