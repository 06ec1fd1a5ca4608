import { constants, fstatSync } from 'node:fs';
import { access, open } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../domain/failure.ts';
import { streams } from '../domain/task.ts';
import type { Stream } from '../domain/task.ts';
import { diskFailure, errorCode } from './disk-failure.ts';
import type { OutputFolder } from './output-folder.ts';
import type { OutputChunk } from './output-store.ts';

const chunkBytes = 262_144;
/** The folder may be shared between hosts, where no notification of changes arrives: look. */
const lookEveryMs = 25;

/** One followed stream: opens its file when it appears and reads on from where it was. */
class Tail {
  readonly #path: string;
  readonly stream: Stream;
  #offset: number;
  #handle: FileHandle | undefined;
  #block: Buffer | undefined;
  #removed = false;

  constructor(stream: Stream, path: string, offset: number) {
    this.stream = stream;
    this.#path = path;
    this.#offset = offset;
  }

  async next(): Promise<OutputChunk | undefined> {
    try {
      this.#handle ??= await open(this.#path, constants.O_RDONLY);
      // Of an open file, this is answered from memory: far cheaper than a hop to a thread for each look of each follower.
      const { size, nlink } = fstatSync(this.#handle.fd);
      if (size <= this.#offset) {
        this.#removed = nlink === 0;
        return undefined;
      }
      const block = (this.#block ??= Buffer.allocUnsafeSlow(chunkBytes));
      const { bytesRead } = await this.#handle.read(block, 0, chunkBytes, this.#offset);
      if (bytesRead === 0) return undefined;
      const offset = this.#offset;
      this.#offset += bytesRead;
      return { stream: this.stream, offset, bytes: block.subarray(0, bytesRead) };
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw diskFailure(`Could not read stored ${this.stream}`, this.#path, error);
    }
  }

  /** Whether the file was removed under us and all of it has been given. */
  get removed(): boolean {
    return this.#removed;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return false;
    throw diskFailure('Could not look for the end of a task', path, error);
  }
}

/** Follows both streams; see `OutputStore.follow`. */
export async function* followOutput(
  folder: OutputFolder,
  from: Readonly<Record<Stream, number>>,
  signal: AbortSignal,
): AsyncGenerator<OutputChunk, void> {
  const tails = streams.map((stream) => new Tail(stream, folder.stream[stream], from[stream]));
  let ended = false;
  try {
    while (!signal.aborted) {
      let came = false;
      for (const tail of tails) {
        const chunk = await tail.next();
        if (chunk === undefined) continue;
        came = true;
        yield chunk;
        if (signal.aborted) return;
      }
      if (came) continue;
      // Only now: a look that came to nothing after the end was there has seen the last byte.
      if (ended) return;
      ended = await isThere(folder.meta);
      if (ended) continue;
      if (tails.some((tail) => tail.removed)) {
        throw new DomainError('Gone', `The output of task ${folder.taskKey} was removed while it was followed.`);
      }
      await pause(lookEveryMs, undefined, { signal }).catch(() => undefined);
    }
  } finally {
    await Promise.all(tails.map((tail) => tail.close()));
  }
}
