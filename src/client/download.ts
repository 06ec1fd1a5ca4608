import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../domain/failure.ts';
import { backoffAfter, firstBackoffMs, isAway } from './transport.ts';
import type { Transport } from './transport.ts';

/** How long a stack that went away in the middle is waited for. */
const patienceMs = 60_000;

/**
 * What was fetched from a machine, each byte once and in order, over any cut or restart of the stack.
 * @throws DomainError NotFound when it has expired; ProviderUnavailable when the stack does not come back
 */
export async function* download(
  transport: Transport,
  sha256: string,
  bytes: number,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let at = 0;
  let lostAt: number | undefined;
  for (let waitMs = firstBackoffMs; at < bytes; waitMs = backoffAfter(waitMs)) {
    try {
      const headers: Record<string, string> = at > 0 ? { range: `bytes=${at}-` } : {};
      const answer = await transport.ask(`/v1/files/${sha256}`, { headers, signal });
      for await (const chunk of (answer.body ?? []) as AsyncIterable<Uint8Array>) {
        at += chunk.length;
        waitMs = firstBackoffMs;
        lostAt = undefined;
        yield chunk;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (!isAway(error)) throw error;
    }
    if (at >= bytes) return;
    lostAt ??= performance.now();
    if (performance.now() - lostAt > patienceMs) {
      throw new DomainError('ProviderUnavailable', `Only ${at} of ${bytes} bytes came: the stack did not come back.`);
    }
    await pause(waitMs, undefined, signal ? { signal } : {});
  }
}
