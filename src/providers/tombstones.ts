import { existsSync } from 'node:fs';
import { mkdir, readdir, rm, stat, utimes } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { replaceFile } from '../host/atomic-file.ts';
import { noneIfMissing } from '../host/missing.ts';

/** Keys of machines that were destroyed: a late create of one makes nothing. */

/** Long enough for any retry of a create whose machine was destroyed meanwhile. */
const tombstoneDays = 30;
const dayMs = 86_400_000;

const tombstonePath = (folder: string, key: string): string => join(folder, encodeURIComponent(key));

export async function layTombstone(folder: string, key: string): Promise<void> {
  const path = tombstonePath(folder, key);
  if (existsSync(path)) {
    const now = new Date();
    await utimes(path, now, now);
    return;
  }
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await replaceFile(path, '');
}

/** At once: from its arrival on a create is seen by every look that arrives after it. */
export const hasTombstone = (folder: string, key: string): boolean => existsSync(tombstonePath(folder, key));

export async function forgetOldTombstones(folder: string): Promise<void> {
  for (const name of (await readdir(folder).catch(noneIfMissing)) ?? []) {
    const path = join(folder, name);
    // Another process may have forgotten it meanwhile.
    const laid = await stat(path).catch(noneIfMissing);
    if (laid && laid.mtimeMs < Date.now() - tombstoneDays * dayMs) await rm(path, { force: true });
  }
}
