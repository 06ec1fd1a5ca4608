import { readdir, rm, rmdir, stat } from 'node:fs/promises';
import type { Dirent } from 'node:fs';
import { join, relative } from 'node:path';
import { diskFailure, errorCode } from './disk-failure.ts';
import { outputFolder, type OutputFolder } from './output-folder.ts';
import { readEnd } from './output-meta.ts';

async function entriesOf(path: string): Promise<readonly Dirent[]> {
  try {
    return await readdir(path, { withFileTypes: true });
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return [];
    throw diskFailure(`Could not list ${path}`, path, error);
  }
}

/** A folder that something else still lives in stays. */
async function removeIfEmpty(path: string): Promise<void> {
  await rmdir(path).catch((error: unknown) => {
    if (!['ENOTEMPTY', 'EEXIST', 'ENOENT'].includes(errorCode(error) ?? '')) throw error;
  });
}

/** Since when a task's output has not changed: its end, or the last byte of one that never ended. */
async function atRestSince(
  folder: OutputFolder,
  files: readonly string[],
): Promise<{ readonly ended: boolean; readonly ms: number } | undefined> {
  const end = await readEnd(folder);
  if (end !== undefined) return { ended: true, ms: end.endedAtMs };
  const times = await Promise.all(files.map(async (name) => (await stat(join(folder.path, name))).mtimeMs)).catch(
    // It is ending, or another worker removes it.
    (error: unknown) => {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    },
  );
  return times && { ended: false, ms: Math.max(...times) };
}

/**
 * Removes what has been at rest since before the instant, and the folders that it leaves empty; answers how many.
 * @param isOpen whether a task without an end may still get one
 */
export async function expireOutput(
  root: string,
  beforeMs: number,
  isOpen: (taskKey: string) => Promise<boolean>,
  path: string = root,
): Promise<number> {
  const entries = await entriesOf(path);
  let removed = 0;
  for (const entry of entries) {
    if (entry.isDirectory()) removed += await expireOutput(root, beforeMs, isOpen, join(path, entry.name));
  }
  if (path === root) return removed;
  const files = entries.filter((entry) => entry.isFile()).map((entry) => entry.name);
  if (files.length === 0) {
    if (entries.length > 0) await removeIfEmpty(path);
    return removed;
  }
  const folder = outputFolder(root, relative(root, path));
  const rest = await atRestSince(folder, files);
  if (rest === undefined || rest.ms >= beforeMs || (!rest.ended && (await isOpen(folder.taskKey)))) return removed;
  // The end goes last: killed in between, the next round finds it and goes on.
  for (const name of files.filter((each) => each !== 'meta.json')) await rm(join(path, name), { force: true });
  await rm(join(path, 'meta.json'), { force: true });
  await removeIfEmpty(path);
  return removed + 1;
}
