import { setTimeout as pause } from 'node:timers/promises';
import { Interrupted } from './exit.ts';
import type { Io } from './io.ts';

/** A second Ctrl-C within this time means more than the first. */
export const secondWithinMs = 2_000;

export interface Interrupts {
  /** Aborts at the first Ctrl-C, with `Interrupted`. */
  readonly signal: AbortSignal;
  /** The process is told to end: there is no time for a second one. */
  readonly final: boolean;
  /** After the first: true when a second one comes in time. */
  second(): Promise<boolean>;
  end(): void;
}

export function listenToInterrupts(io: Io): Interrupts {
  const first = new AbortController();
  const second = new AbortController();
  let told = false;
  const end = io.onInterrupt((how) => {
    told ||= how === 'told';
    (first.signal.aborted ? second : first).abort(new Interrupted());
  });
  return {
    signal: first.signal,
    get final() {
      return told;
    },
    async second() {
      if (told) return false;
      await pause(secondWithinMs, undefined, { signal: second.signal }).catch(() => undefined);
      return second.signal.aborted;
    },
    end,
  };
}

/** Rejects as soon as the signal aborts, whatever the work still does. */
export async function unlessAborted<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  signal.throwIfAborted();
  let leave: () => void = () => undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    leave = () => reject(signal.reason as Error);
    signal.addEventListener('abort', leave, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', leave);
    // Its own failure, later, is nobody's any more.
    work.catch(() => undefined);
  }
}
