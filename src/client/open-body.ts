import { request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import type { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';

/** What an API said to a request: what it was asked for, or why not. */
export type Answered<T> = { readonly taken: T } | { readonly refused: Response };

/** Fewer turns of the stream; a piece is as large as what has come meanwhile. */
const gatheredBytes = 262_144;
/** A follow begins with a beat: who has said nothing for so long will not. */
const answerWithinMs = 60_000;

/**
 * Asks for a body without fetch, which copies each of its pieces twice: in bulk that was a third of all that a follow cost
 * its caller. A connection that fails is told as fetch tells it.
 */
export function openBody(target: string, { headers, signal }: RequestInit): Promise<Answered<Readable>> {
  return new Promise((resolve, reject) => {
    const request = target.startsWith('https:') ? overHttps : overHttp;
    const options = {
      agent: false,
      headers: headers as Record<string, string>,
      highWaterMark: gatheredBytes,
      timeout: answerWithinMs,
    };
    const asking = request(target, { ...options, ...(signal ? { signal } : {}) });
    // Stays: what breaks after the answer has begun is told by its body.
    asking.on('error', (cause) => reject(new TypeError('fetch failed', { cause })));
    asking.once('timeout', () => asking.destroy(new Error('It does not answer.')));
    asking.once('response', (body) => {
      // From here on whoever reads may be slow.
      asking.setTimeout(0).removeAllListeners('timeout');
      const { statusCode: status = 0 } = body;
      if (status >= 200 && status < 300) return resolve({ taken: body });
      const id = body.headers['x-request-id'];
      const refused = (said: string): void =>
        resolve({
          refused: new Response(said, { status, headers: typeof id === 'string' ? { 'x-request-id': id } : {} }),
        });
      return void text(body).then(refused, (cause: unknown) => reject(new TypeError('terminated', { cause })));
    });
    asking.end();
  });
}
