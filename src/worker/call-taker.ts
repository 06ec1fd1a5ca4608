import { DomainError } from '../domain/failure.ts';
import type { CallsGranted, CallRate } from '../domain/token-bucket.ts';
import type { CallTaker } from '../providers/rate-limited.ts';

export interface CallTakerOptions {
  /** As the settings say now; undefined: as often as one likes. */
  readonly rate: () => CallRate | undefined;
  /** Of the account, for all workers. @throws DomainError ProviderUnavailable */
  readonly ask: (calls: number, rate: CallRate) => Promise<CallsGranted>;
  readonly tellThrottled: (retryAfterMs: number | undefined) => Promise<void>;
}

interface Waiter {
  readonly go: () => void;
  readonly fail: (error: unknown) => void;
}

/** More are asked for in a second message. */
const mostAtOnce = 1_000;

/**
 * One for each account in a worker. All calls that wait are asked for at once, by one message at a time, and what is granted
 * is used at once: nothing is kept for later, so that what the account grants is what the provider sees.
 */
export function createCallTaker({ rate, ask, tellThrottled }: CallTakerOptions): CallTaker {
  const waiting = new Set<Waiter>();
  let asking = false;

  async function serve(): Promise<void> {
    if (asking) return;
    asking = true;
    try {
      while (waiting.size > 0) {
        const now = rate();
        const { granted, waitMs } = now
          ? await ask(Math.min(waiting.size, mostAtOnce), now)
          : { granted: waiting.size, waitMs: 0 };
        for (const waiter of [...waiting].slice(0, granted)) {
          waiting.delete(waiter);
          waiter.go();
        }
        if (waiting.size > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
      }
    } catch (error) {
      for (const waiter of waiting) waiter.fail(error);
      waiting.clear();
    } finally {
      asking = false;
    }
  }

  return {
    async take(signal) {
      if (!rate()) return;
      signal.throwIfAborted();
      await new Promise<void>((resolve, reject) => {
        const abort = (): void => {
          waiting.delete(waiter);
          reject(signal.reason as Error);
        };
        const done = (settle: () => void) => (): void => {
          signal.removeEventListener('abort', abort);
          settle();
        };
        const waiter: Waiter = {
          go: done(resolve),
          fail: (error) =>
            done(() => reject(error instanceof Error ? error : new DomainError('Internal', String(error))))(),
        };
        signal.addEventListener('abort', abort, { once: true });
        waiting.add(waiter);
        void serve();
      });
    },
    throttled: (retryAfterMs) => tellThrottled(retryAfterMs),
  };
}
