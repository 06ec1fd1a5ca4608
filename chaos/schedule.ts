import { leasePlans, type LeasePlan } from './plan.ts';
import { weather, type Weather } from './weather.ts';

/** All that a run does by itself. The same seed and length make the same schedule; a file of it replays the run. */
export interface Schedule extends Weather {
  readonly version: 1;
  readonly seed: number;
  readonly minutes: number;
  /** More wait for a slot. */
  readonly atOnce: number;
  readonly leases: readonly LeasePlan[];
}

/** Pure. */
export const schedule = (seed: number, minutes: number, atOnce: number): Schedule => ({
  version: 1,
  seed,
  minutes,
  atOnce,
  leases: leasePlans(seed, minutes),
  ...weather(seed, minutes),
});
