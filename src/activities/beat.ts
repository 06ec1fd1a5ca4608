import { Context, heartbeat } from '@temporalio/activity';
import { outOfReach, toTemporal } from './failure.ts';

/** Cancellation travels on heartbeats, so this bounds how late an activity hears of it. */
const beatMs = 1_500;

/**
 * Runs the work of an activity under a steady heartbeat, with the signal that ends it, and translates what goes wrong.
 * @param options.details what the next attempt should know
 * @param options.proven the guest was logged in to before: a refused login is tried again there, as long as the work may last
 */
export async function beating<T>(
  work: (signal: AbortSignal) => Promise<T>,
  options: {
    readonly everyMs?: number;
    readonly details?: () => unknown;
    readonly patient?: boolean;
    readonly proven?: boolean;
  } = {},
): Promise<T> {
  // Taken once: touching it inside an abort listener throws and ends the process.
  const signal = Context.current().cancellationSignal;
  const timer = setInterval(() => heartbeat(options.details?.()), options.everyMs ?? beatMs);
  try {
    heartbeat(options.details?.());
    return await work(signal);
  } catch (error) {
    throw toTemporal((options.proven === true && outOfReach(error)) || error, options.patient);
  } finally {
    clearInterval(timer);
  }
}

/** Resolves after the time or when the signal aborts, whichever is first. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done, { once: true });
  });
}
