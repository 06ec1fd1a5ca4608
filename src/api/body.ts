import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { DomainError } from '../domain/failure.ts';

const discardWithinMs = 30_000;

/** Reads a body away. Who is still sending would else see a broken connection in place of the answer. */
export async function discard(request: IncomingMessage, limitBytes: number): Promise<void> {
  if (request.complete || request.readableEnded || request.destroyed) return;
  let bytes = 0;
  const until = Date.now() + discardWithinMs;
  await new Promise<void>((resolve) => {
    const stop = (): void => {
      request.off('data', onData);
      resolve();
    };
    const onData = (chunk: Uint8Array): void => {
      bytes += chunk.length;
      if (bytes > limitBytes || Date.now() > until) stop();
    };
    for (const event of ['end', 'close', 'error'] as const) request.once(event, stop);
    request.on('data', onData);
    request.resume();
  });
}

/** A small body as bytes. @throws DomainError InvalidRequest beyond the limit */
export async function smallBody(
  body: AsyncIterable<Uint8Array>,
  limitBytes: number,
  what: string,
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > limitBytes) {
      throw new DomainError('InvalidRequest', `${what} is larger than the limit of ${limitBytes} bytes.`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/** @throws DomainError InvalidRequest when the body did not come as application/octet-stream */
export function streamOf(body: unknown): AsyncIterable<Uint8Array> {
  // Who stops reading in the middle must not break the connection: its answer has to arrive.
  if (body instanceof Readable) return body.iterator({ destroyOnReturn: false }) as AsyncIterable<Uint8Array>;
  throw new DomainError('InvalidRequest', 'The bytes are expected as they are.', {
    hint: 'content-type: application/octet-stream',
  });
}
