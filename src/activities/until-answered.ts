import { pause } from './beat.ts';

/** One that boots is asked often, or it waits for us when it is up. */
export const betweenLooksMs = 500;
const firstPatienceMs = 600;
const longestPatienceMs = 8_000;
const beyondMs = 2_000;

/**
 * Asks a guest until it answers, each time with more patience: what forwards its port may take connections before the guest
 * lives, and a slow one must have its time.
 * @param judged what went wrong, and how patient the try was: how long to wait before the next one, or it throws what is final
 */
export async function untilAnswered<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  judged: (error: unknown, patienceMs: number) => number,
  signal: AbortSignal,
): Promise<T> {
  for (let patienceMs = firstPatienceMs; ; patienceMs = Math.min(patienceMs * 1.5, longestPatienceMs)) {
    try {
      return await ask(AbortSignal.any([signal, AbortSignal.timeout(Math.round(patienceMs) + beyondMs)]));
    } catch (error) {
      signal.throwIfAborted();
      await pause(judged(error, patienceMs), signal);
    }
  }
}
