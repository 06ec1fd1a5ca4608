/**
 * One wait per key however many callers: a run of a workflow takes ten updates at once, and the eleventh hangs. The wait is
 * given up when the last caller leaves.
 */
export interface SharedWaits {
  /** Resolves as the wait does, or undefined when the caller's time is up or it left. Rejects as the wait does. */
  join<T>(
    key: string,
    start: (signal: AbortSignal) => Promise<T>,
    timeoutMs: number,
    leaving: AbortSignal,
  ): Promise<T | undefined>;
}

interface Wait {
  readonly done: Promise<unknown>;
  readonly abort: AbortController;
  callers: number;
}

export function createSharedWaits(): SharedWaits {
  const waits = new Map<string, Wait>();

  const begin = (key: string, start: (signal: AbortSignal) => Promise<unknown>): Wait => {
    const abort = new AbortController();
    const done = start(abort.signal).finally(() => {
      if (waits.get(key) === wait) waits.delete(key);
    });
    // Its callers may all have left before it fails.
    done.catch(() => undefined);
    const wait: Wait = { done, abort, callers: 0 };
    waits.set(key, wait);
    return wait;
  };

  return {
    async join<T>(key: string, start: (signal: AbortSignal) => Promise<T>, timeoutMs: number, leaving: AbortSignal) {
      const wait = waits.get(key) ?? begin(key, start);
      wait.callers += 1;
      let stop: () => void = () => undefined;
      const left = new Promise<undefined>((resolve) => {
        const leave = (): void => resolve(undefined);
        const timer = setTimeout(leave, timeoutMs);
        leaving.addEventListener('abort', leave, { once: true });
        stop = () => {
          clearTimeout(timer);
          leaving.removeEventListener('abort', leave);
        };
        if (leaving.aborted) leave();
      });
      try {
        // The key names the kind of wait, so all that join it start the same.
        return await Promise.race([wait.done as Promise<T>, left]);
      } finally {
        stop();
        wait.callers -= 1;
        if (wait.callers === 0) {
          if (waits.get(key) === wait) waits.delete(key);
          wait.abort.abort();
        }
      }
    },
  };
}
