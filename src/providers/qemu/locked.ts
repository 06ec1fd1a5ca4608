import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { takeLock } from '../../host/lock.ts';
import type { QemuPaths } from './paths.ts';
import { diskFull, isFull } from './process.ts';

const lookAgainMs = 5;

/** Alone over all processes that share the folder; others wait, each with its own signal. */
export async function alone<T>(lock: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (;;) {
    const taken = await takeLock(lock).catch((error: unknown) => {
      throw isFull(error) ? diskFull(error) : error;
    });
    if (taken.held) {
      try {
        return await work();
      } finally {
        await taken.release();
      }
    }
    signal.throwIfAborted();
    await pause(lookAgainMs);
  }
}

/** A lock's file stays for ever, so machines share a few: who waits for another's waits for a moment only. */
export const lockOf = (folder: string, id: string): string => join(folder, id.slice(0, 2));

/** Of whoever counts what is there: also upon which template it lies. It may be taken with another lock in hand, never before one. */
export const roomLock = ({ locks }: QemuPaths): string => join(locks, 'room');
