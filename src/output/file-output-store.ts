import { open, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { diskFailure, errorCode } from './disk-failure.ts';
import { expireOutput } from './output-expire.ts';
import { followOutput } from './output-follow.ts';
import { outputFolder } from './output-folder.ts';
import type { OutputFolder } from './output-folder.ts';
import { readEnd } from './output-meta.ts';
import type { OutputStat, OutputStore } from './output-store.ts';
import { openOutputWriter } from './output-writer.ts';
import type { Stream } from '../domain/task.ts';

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw diskFailure(`Could not look at ${path}`, path, error);
  }
}

async function statOutput(folder: OutputFolder): Promise<OutputStat | undefined> {
  // The end first: sizes that are looked at after it are final.
  const end = await readEnd(folder);
  const [stdout, stderr] = await Promise.all([sizeOf(folder.stream.stdout), sizeOf(folder.stream.stderr)]);
  if (end === undefined && stdout === undefined && stderr === undefined) return undefined;
  return {
    stdout: { keptBytes: stdout ?? 0 },
    stderr: { keptBytes: stderr ?? 0 },
    ...(end === undefined ? {} : { end: end.end }),
  };
}

async function readRange(folder: OutputFolder, stream: Stream, start: number, end: number): Promise<Uint8Array> {
  const path = folder.stream[stream];
  try {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      const bytes = Buffer.allocUnsafeSlow(Math.max(0, Math.min(end, size) - start));
      let filled = 0;
      while (filled < bytes.length) {
        const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, start + filled);
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.subarray(0, filled);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return new Uint8Array(0);
    throw diskFailure(`Could not read ${stream} of task ${folder.taskKey}`, path, error);
  }
}

/**
 * The output store in a folder, `<root>/<task key>/{out,err,meta.json}`, 0600. The file's length is the offset, so that
 * nothing has to agree with it after a kill. `open` does not truncate, `write` never leaves a hole, and `meta.json` comes
 * only after all bytes are flushed. Beyond the limit, `offsets` of a writer say how far was counted (kept across restarts by
 * `sync`). For a power-safe release of the guest's spool: take `offsets`, then `sync()`, then release what was taken.
 */
export function createFileOutputStore(root: string): OutputStore {
  const at = resolve(root);
  return {
    open: async (taskKey, limitBytes) => openOutputWriter(at, outputFolder(at, taskKey), limitBytes),
    stat: async (taskKey) => statOutput(outputFolder(at, taskKey)),
    read: async (taskKey, stream, start, end) => readRange(outputFolder(at, taskKey), stream, start, end),
    async *follow(taskKey, from, signal) {
      yield* followOutput(outputFolder(at, taskKey), from, signal);
    },
    expire: (endedBeforeMs, isOpen) => expireOutput(at, endedBeforeMs, isOpen),
  };
}
