/** What an account allows its callers: so many calls at once, and refilled at this rate. */
export interface CallRate {
  readonly callsPerSecond: number;
  readonly burst: number;
}

/** How many calls were left at that instant. */
export interface TokenBucket {
  readonly tokens: number;
  readonly atMs: number;
  /** The provider said that it had enough: nobody calls until then. */
  readonly pausedUntilMs?: number;
}

export interface CallsGranted {
  /** Calls that may be made now; at most what was asked. */
  readonly granted: number;
  /** When to ask for the rest; 0 when there is none. */
  readonly waitMs: number;
}
export interface Taken extends CallsGranted {
  readonly bucket: TokenBucket;
}

export const fullBucket = (rate: CallRate, nowMs: number): TokenBucket => ({ tokens: rate.burst, atMs: nowMs });

/** How long the provider is left alone when it did not say. */
const defaultPauseMs = 1_000;

function refilled(rate: CallRate, bucket: TokenBucket, nowMs: number): TokenBucket {
  // A clock that went back refills nothing, and takes nothing away. During a pause nothing is refilled either.
  const fromMs = Math.max(bucket.atMs, bucket.pausedUntilMs ?? 0);
  if (nowMs <= fromMs) return bucket.tokens > rate.burst ? { ...bucket, tokens: rate.burst } : bucket;
  const tokens = bucket.tokens + ((nowMs - fromMs) * rate.callsPerSecond) / 1_000;
  return { tokens: Math.min(rate.burst, tokens), atMs: nowMs };
}

/** Over any time t no more than burst + callsPerSecond × t calls are granted, whoever asks. */
export function takeCalls(rate: CallRate, before: TokenBucket, n: number, nowMs: number): Taken {
  const bucket = refilled(rate, before, nowMs);
  const pausedMs = Math.max(0, (bucket.pausedUntilMs ?? 0) - nowMs);
  const granted = pausedMs > 0 ? 0 : Math.min(n, Math.floor(bucket.tokens));
  const left: TokenBucket = { ...bucket, tokens: bucket.tokens - granted };
  if (granted === n) return { bucket: left, granted, waitMs: 0 };
  // Not for each call alone: about a second's worth is worth a message.
  const worth = Math.min(n - granted, rate.burst, Math.max(1, Math.floor(rate.callsPerSecond)));
  const missing = Math.max(0, worth - left.tokens);
  return { bucket: left, granted, waitMs: Math.ceil(pausedMs + (missing * 1_000) / rate.callsPerSecond) };
}

/** The provider itself refused a call for its rate: what we believed to have left is worth nothing. */
export function pauseCalls(bucket: TokenBucket, nowMs: number, forMs = defaultPauseMs): TokenBucket {
  const pausedUntilMs = Math.max(bucket.pausedUntilMs ?? 0, nowMs + forMs);
  return { tokens: 0, atMs: Math.max(bucket.atMs, nowMs), pausedUntilMs };
}

/** From then on it is as if nobody had ever called. */
export const fullAtMs = (rate: CallRate, bucket: TokenBucket): number =>
  Math.max(bucket.atMs, bucket.pausedUntilMs ?? 0) +
  Math.ceil((Math.max(0, rate.burst - bucket.tokens) * 1_000) / rate.callsPerSecond);
