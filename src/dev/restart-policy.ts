/** What a supervisor knows about the last lives of a process. */
export interface Lives {
  /** Starts in a row that never got ready. */
  readonly failedStarts: number;
  /** Ends in a row that came soon after ready, or before it. */
  readonly quickEnds: number;
}

export const noLives: Lives = { failedStarts: 0, quickEnds: 0 };

const firstDelayMs = 200;
const longestDelayMs = 5_000;
/** A process that was ready for this long is taken as healthy again. */
const healthyMs = 10_000;
const allowedFailedStarts = 5;

export type NextStart =
  | { readonly act: 'restart'; readonly delayMs: number; readonly lives: Lives }
  | { readonly act: 'give-up'; readonly failedStarts: number };

/** What to do when a process has ended by itself. `readyForMs` is undefined when it never got ready. */
export function afterEnd(lives: Lives, readyForMs: number | undefined): NextStart {
  const failedStarts = readyForMs === undefined ? lives.failedStarts + 1 : 0;
  if (failedStarts >= allowedFailedStarts) return { act: 'give-up', failedStarts };
  const quickEnds = readyForMs !== undefined && readyForMs >= healthyMs ? 0 : lives.quickEnds;
  const delayMs = Math.min(firstDelayMs * 2 ** quickEnds, longestDelayMs);
  return { act: 'restart', delayMs, lives: { failedStarts, quickEnds: quickEnds + 1 } };
}
