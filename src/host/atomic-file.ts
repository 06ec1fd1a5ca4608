import { randomBytes } from 'node:crypto';
import { open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** Temporary files beside their targets; what a crash left is known by this prefix. */
export const partPrefix = '.part-';

export const partBeside = (path: string): string =>
  join(dirname(path), `${partPrefix}${process.pid}-${randomBytes(6).toString('hex')}`);

/** Makes an entry of the folder (a new file, a rename) survive a loss of power. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces the file as a whole, 0600, durably: a reader sees the old bytes or the new ones, also after a crash. */
export async function replaceFile(path: string, bytes: string | Uint8Array): Promise<void> {
  const part = partBeside(path);
  try {
    const handle = await open(part, 'wx', 0o600);
    try {
      await handle.writeFile(bytes);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
  await syncFolder(dirname(path));
}
