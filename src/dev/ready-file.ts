import { readFile, rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';

/** What worker and API write into `run/<name>.json` when they answer; others may stand in it too. */
const schema = z.object({ pid: z.int(), ready: z.boolean(), url: z.url().optional() });

export type ReadyFile = z.infer<typeof schema>;

export const forgetReady = (path: string): Promise<void> => rm(path, { force: true });

/** Waits for the file to say ready. What is written in part, or says not ready, is read again. */
export async function awaitReadyFile(path: string, signal: AbortSignal): Promise<ReadyFile> {
  for (;;) {
    signal.throwIfAborted();
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return '';
      throw error;
    });
    const read = parsed(text);
    if (read?.ready === true) return read;
    await pause(10, undefined, { signal });
  }
}

function parsed(text: string): ReadyFile | undefined {
  try {
    return schema.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}
