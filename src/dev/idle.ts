/** How long a stack has been seen without work. */
export interface Idle {
  /** Monotonic milliseconds of the first look in a row that saw no work. */
  readonly since: number | undefined;
}

export const notIdle: Idle = { since: undefined };

/** One look. A stack ends only when a second look, at least `idleMs` after the first, sees no work either. */
export function look(idle: Idle, now: number, busy: boolean, idleMs: number): { idle: Idle; end: boolean } {
  if (busy) return { idle: notIdle, end: false };
  if (idle.since === undefined) return { idle: { since: now }, end: false };
  return { idle, end: now - idle.since >= idleMs };
}

/** How often to look: five times in the span, at most each 200 ms, at least each 15 s. */
export const lookEveryMs = (idleMs: number): number => Math.min(Math.max(idleMs / 5, 200), 15_000);
