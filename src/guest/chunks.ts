import type { Readable } from 'node:stream';

/** What has come so far, in as few pieces as it takes; nothing is read ahead while a piece is being stored. */
export async function* chunks(source: Readable, over: AbortSignal): AsyncGenerator<Buffer> {
  while (!over.aborted) {
    const chunk = source.read() as Buffer | null;
    if (chunk !== null) yield chunk;
    else if (source.readableEnded) return;
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
