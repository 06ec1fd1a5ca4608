import { fullBucket, takeCalls, type CallRate, type TokenBucket } from '../domain/token-bucket.ts';

/** Whoever it is that asks: so many at once, then so many a second. */
export interface Limit {
  /** False: enough for now. */
  take(who: string): boolean;
}

const mostKnown = 10_000;

/** A bucket for each; beyond so many that are known, all begin anew, which costs a flood no more memory. */
export function limitOf(rate: CallRate, now: () => number = Date.now): Limit {
  const buckets = new Map<string, TokenBucket>();
  return {
    take(who) {
      if (buckets.size >= mostKnown) buckets.clear();
      const { bucket, granted } = takeCalls(rate, buckets.get(who) ?? fullBucket(rate, now()), 1, now());
      buckets.set(who, bucket);
      return granted === 1;
    },
  };
}
