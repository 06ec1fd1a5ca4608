/** Chance that a seed decides: the same seed, the same throws. */
export interface Dice {
  /** Whole, both ends included. */
  int(from: number, to: number): number;
  pick<T>(all: readonly [T, ...T[]]): T;
  chance(probability: number): boolean;
}

export function dice(seed: number): Dice {
  const next = mulberry32(seed);
  const int = (from: number, to: number): number => from + Math.floor(next() * (to - from + 1));
  return {
    int,
    pick: (all) => all[int(0, all.length - 1)] ?? all[0],
    chance: (probability) => next() < probability,
  };
}

/** Small, and the same everywhere. */
function mulberry32(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
