import { defaultMaxTtlMs, defaultReadyWithinMs, defaultTtlMs } from '../contract/bundle.ts';
import type { BundleSpec } from '../contract/bundle.ts';
import type { PhaseLimits } from '../domain/bundle.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import { defaultGraceMs } from '../domain/task.ts';

/**
 * Bounds of the phases. Those that the bundle does not name are shares of the whole, so that a longer `readyWithinMs`
 * alone gives every phase more: of 5 min they are 2, 3, 2 and 4 min.
 */
export function phaseLimits(spec: BundleSpec): PhaseLimits {
  const readyWithinMs = spec.readyWithinMs ?? defaultReadyWithinMs;
  const share = (part: number): number => Math.max(1, Math.round(readyWithinMs * part));
  return {
    readyWithinMs,
    provisionWithinMs: spec.provisionWithinMs ?? share(0.4),
    loadWithinMs: spec.loadWithinMs ?? share(0.6),
    accessWithinMs: spec.accessWithinMs ?? share(0.4),
    customizeWithinMs: spec.customizeWithinMs ?? share(0.8),
  };
}

export interface TtlLimits {
  readonly ttlMs: number;
  readonly maxTtlMs: number;
}

/** One that is given moves the other's default, where that would contradict it. */
export function ttlLimits(spec: BundleSpec): TtlLimits {
  const { ttlMs, maxTtlMs } = spec.lease ?? {};
  return {
    ttlMs: ttlMs ?? Math.min(defaultTtlMs, maxTtlMs ?? defaultTtlMs),
    maxTtlMs: maxTtlMs ?? Math.max(defaultMaxTtlMs, ttlMs ?? 0),
  };
}

/** Between a job's last possible moment and the end of its lease: its result has to be fetched. */
const afterJobMs = 60_000;

/**
 * How long the lease lasts from ready. Without a wish of the caller's, a job with a limit gets at least the time that it
 * may take: its limit would mean nothing else.
 */
export function leaseTtl(request: LeaseRequest, { ttlMs, maxTtlMs }: TtlLimits): number {
  if (request.ttlMs !== undefined) return request.ttlMs;
  if (request.job?.limitMs === undefined) return ttlMs;
  const { limitMs, graceMs = defaultGraceMs } = request.job;
  return Math.min(maxTtlMs, Math.max(ttlMs, limitMs + graceMs + (request.holdAfterJobMs ?? 0) + afterJobMs));
}

const units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;

/** `90061000` → `1d 1h 1m 1s`, as a bundle would write it. */
export function spokenDuration(durationMs: number): string {
  let rest = durationMs;
  const parts: string[] = [];
  for (const [unit, size] of units) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
  }
  return parts.join(' ') || '0ms';
}
