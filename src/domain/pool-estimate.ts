import type { Measured, PoolLife } from './pool.ts';
import { ceilingOf } from './pool.ts';

/** Of each kind, how many durations are remembered. */
const remembered = 20;

export const measuredMore = (measured: Measured, kind: keyof Measured, ms: number): Measured => ({
  ...measured,
  [kind]: [...measured[kind], Math.max(0, ms)].slice(-remembered),
});

/** The middle one, of two the longer; undefined before the first. */
export function typical(durations: readonly number[]): number | undefined {
  const sorted = durations.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/**
 * In how many milliseconds the one at a place (from 1) gets a machine, if all goes as it typically went. Undefined while
 * there is nothing to go by: a guess would be no estimate.
 */
export function estimator(life: PoolLife, nowMs: number): (place: number) => number | undefined {
  const make = typical(life.measured.makeMs);
  if (make === undefined) return () => undefined;
  const use = typical(life.measured.useMs);
  const leave = typical(life.measured.leaveMs) ?? 0;
  const left = (sinceMs: number, ms: number): number => Math.max(0, sinceMs + ms - nowMs);
  const supplies: number[] = [];
  for (const { phase, sinceMs, claim } of life.machines) {
    if (phase === 'making') supplies.push(left(sinceMs, make));
    if (phase === 'leaving') supplies.push(left(sinceMs, leave) + make);
    if (phase === 'leased' && use !== undefined) supplies.push(left(claim?.grantedMs ?? sinceMs, use) + leave + make);
  }
  for (let room = ceilingOf(life) - life.machines.length; room > 0; room -= 1) supplies.push(make);
  supplies.sort((a, b) => a - b);
  return (place) => {
    const rounds = supplies.length > 0 ? Math.floor((place - 1) / supplies.length) : 0;
    const first = supplies[(place - 1) % supplies.length];
    if (first === undefined || (rounds > 0 && use === undefined)) return undefined;
    return Math.round(first + rounds * ((use ?? 0) + leave + make));
  };
}
