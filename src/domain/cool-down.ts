/** A place (provider, zone, size) that had no capacity is left alone for a while. */
export interface CoolDown {
  readonly place: string;
  readonly untilMs: number;
  /** Without its jitter: what the next one is longer than. */
  readonly lengthMs: number;
}

/** When the operator does not say: far longer than a call, far shorter than most stockouts. */
export const defaultCoolDownMs = 30_000;
const longestMs = 15 * 60_000;

export const isCooling = ({ untilMs }: CoolDown, nowMs: number): boolean => nowMs < untilMs;

/** A cool-down that was long ago says nothing about the next stockout. */
const isRemembered = ({ untilMs, lengthMs }: CoolDown, nowMs: number): boolean => nowMs < untilMs + lengthMs;

export const remembered = (all: readonly CoolDown[], nowMs: number): readonly CoolDown[] =>
  all.every((each) => isRemembered(each, nowMs)) ? all : all.filter((each) => isRemembered(each, nowMs));

export interface Stockout {
  readonly place: string;
  /** Of the first cool-down; each that follows soon after is twice as long, up to a quarter of an hour. */
  readonly firstMs: number;
  /** From 0 to 1, from the caller: all who come back do not come back at once. */
  readonly jitter: number;
  /** What the provider asked for. */
  readonly retryAfterMs?: number;
}

/** Of many who meet the same stockout only the first starts a cool-down. */
export function coolDown(all: readonly CoolDown[], stockout: Stockout, nowMs: number): readonly CoolDown[] {
  const { place, firstMs, jitter, retryAfterMs = 0 } = stockout;
  const before = remembered(all, nowMs).find((each) => each.place === place);
  if (before && isCooling(before, nowMs)) return all;
  const lengthMs = Math.min(longestMs, before ? before.lengthMs * 2 : firstMs);
  const untilMs = nowMs + Math.max(retryAfterMs, Math.round(lengthMs * (0.75 + jitter / 2)));
  return [...remembered(all, nowMs).filter((each) => each.place !== place), { place, untilMs, lengthMs }];
}
