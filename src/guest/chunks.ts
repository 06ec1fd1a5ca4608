import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';

/** What comes in pieces of this size is a stream in bulk: there each piece costs more than its bytes do. */
const bulkBytes = 16_384;
/** Then pieces gather for so long. */
const gatherMs = 2;

/**
 * What has come so far, in as few pieces as it takes; nothing is read ahead while a piece is being stored. What trickles in
 * is given at once, a stream in bulk in pieces as large as a few milliseconds make them.
 */
export async function* chunks(source: Readable, over: AbortSignal): AsyncGenerator<Buffer> {
  while (!over.aborted) {
    const chunk = source.read() as Buffer | null;
    if (chunk !== null) {
      yield chunk;
      if (chunk.length >= bulkBytes) await pause(gatherMs);
    } else if (source.readableEnded) return;
    else await change(source, over);
  }
}

function change(source: Readable, over: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const changed = (): void => {
      source.off('readable', changed).off('end', changed);
      over.removeEventListener('abort', changed);
      resolve();
    };
    source.on('readable', changed).on('end', changed);
    over.addEventListener('abort', changed, { once: true });
  });
}
