import { constants, existsSync } from 'node:fs';
import { copyFile, readFile, rename, rm } from 'node:fs/promises';
import { replaceFile } from '../host/atomic-file.ts';

/** SQLite's write-ahead log and its index belong to the file: a copy without them is an older state, or a broken one. */
const parts = ['', '-wal', '-shm'];

/**
 * Before another server version opens the database file, a copy is set aside as `<file>.before-<version>`: a newer server
 * may change the file for good, and an older one may not read it. Nothing may have the file open.
 * @returns the path of the copy, when one was made
 */
export async function copyBeforeUpgrade(database: string, serverVersion: string): Promise<string | undefined> {
  const note = `${database}.version`;
  const known = await readFile(note, 'utf8').then(
    (text) => text.trim(),
    (error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    },
  );
  let copy: string | undefined;
  if (existsSync(database) && known !== serverVersion) {
    copy = `${database}.before-${serverVersion}`;
    for (const part of parts) {
      await rm(`${copy}${part}`, { force: true });
      if (!existsSync(`${database}${part}`)) continue;
      // Whole or not at all: a crash in the middle must not leave what looks like a copy.
      await copyFile(`${database}${part}`, `${copy}${part}.part`, constants.COPYFILE_FICLONE);
      await rename(`${copy}${part}.part`, `${copy}${part}`);
    }
  }
  if (known !== serverVersion) await replaceFile(note, `${serverVersion}\n`);
  return copy;
}
