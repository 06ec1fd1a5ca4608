import { constants } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { Stream, StreamResult, TaskResult } from '../domain/task.ts';
import { syncFolder } from '../host/atomic-file.ts';
import { diskFailure, errorCode } from './disk-failure.ts';
import type { OutputFolder } from './output-folder.ts';
import { readCounted, writeCounted, writeEnd } from './output-meta.ts';
import type { OutputWriter } from './output-store.ts';
import { StreamFile } from './stream-file.ts';

async function openForWriting(folder: OutputFolder, path: string): Promise<FileHandle> {
  for (let tries = 1; ; tries += 1) {
    try {
      await mkdir(folder.path, { recursive: true, mode: 0o700 });
      return await open(path, constants.O_RDWR | constants.O_CREAT, 0o600);
    } catch (error) {
      // A neighbour's expiry may remove an emptied folder between the two calls.
      if (errorCode(error) === 'ENOENT' && tries < 10) continue;
      throw diskFailure(`Could not make a place for the output of task ${folder.taskKey}`, path, error);
    }
  }
}

/** Folders of the key, innermost first, up to and with the root: their entries must last as well as the bytes. */
function foldersUpTo(root: string, path: string): string[] {
  return path === root ? [root] : [path, ...foldersUpTo(root, dirname(path))];
}

export async function openOutputWriter(root: string, folder: OutputFolder, limitBytes: number): Promise<OutputWriter> {
  const counted = await readCounted(folder);
  // The limit that cut a stream stays in force: with a larger one, bytes that were dropped would be missing in the middle.
  const limit = counted?.limitBytes ?? limitBytes;

  const openStream = async (stream: Stream): Promise<StreamFile> => {
    const path = folder.stream[stream];
    const handle = await openForWriting(folder, path);
    const { size } = await handle.stat();
    return new StreamFile(`${stream} of task ${folder.taskKey}`, path, handle, size, counted?.[stream] ?? 0, limit);
  };

  const stdout = await openStream('stdout');
  const stderr = await openStream('stderr').catch(async (error: unknown) => {
    await stdout.close();
    throw error;
  });
  const files = { stdout, stderr };
  let foldersSynced = false;
  let closed: Promise<void> | undefined;
  let countedUpTo = counted === undefined ? 0 : counted.stdout + counted.stderr;

  const sync = async (): Promise<void> => {
    // Taken first: what is promised must not be more than what is flushed.
    const seen = { stdout: stdout.seen, stderr: stderr.seen };
    const cut = stdout.full || stderr.full;
    await Promise.all([stdout.sync(), stderr.sync()]);
    if (!foldersSynced) {
      for (const each of foldersUpTo(root, folder.path)) await syncFolder(each);
      foldersSynced = true;
    }
    if (cut && seen.stdout + seen.stderr > countedUpTo) {
      await writeCounted(folder, { limitBytes: limit, ...seen });
      countedUpTo = seen.stdout + seen.stderr;
    }
  };

  return {
    get offsets(): Readonly<Record<Stream, number>> {
      return { stdout: stdout.offset, stderr: stderr.offset };
    },
    write: (stream, offset, bytes) => files[stream].write(offset, bytes),
    sync,
    finish: async (seen): Promise<Record<Stream, StreamResult>> => ({
      stdout: await stdout.finish(seen.stdout),
      stderr: await stderr.finish(seen.stderr),
    }),
    end: async (result: TaskResult): Promise<void> => {
      await sync();
      await writeEnd(folder, result, Date.now());
    },
    close: () => (closed ??= Promise.all([stdout.close(), stderr.close()]).then(() => undefined)),
  };
}
