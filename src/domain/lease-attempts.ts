import type { FailureType } from './failure.ts';
import type { Attempt, MachinePhase } from './lease.ts';
import type { LeaseLife } from './lease-life.ts';

const beforeAndAfter = new Set<MachinePhase>(['queued', 'reclaiming', 'stuck', 'gone']);

const refusals = new Set<FailureType>(['CapacityUnavailable', 'QuotaExceeded']);

/** Its account turned it away before anything was made: no machine was tried. */
const wasTurnedAway = ({ phases, reason }: Attempt): boolean =>
  reason !== undefined &&
  refusals.has(reason.type) &&
  phases.length > 0 &&
  phases.every(({ phase }) => beforeAndAfter.has(phase));

/** Attempts that count: those at which something was made, or is still wanted. */
export const attemptsSpent = ({ attempts }: LeaseLife): number =>
  attempts.filter((attempt) => !wasTurnedAway(attempt)).length;

/** So many of the last attempts in a row were turned away. */
const turnedAwayLast = ({ attempts }: LeaseLife): number =>
  attempts.length - 1 - attempts.findLastIndex((attempt) => !wasTurnedAway(attempt));

const placesOf = ({ plan }: LeaseLife): number => Math.max(1, plan?.variants.length ?? 1);

/** Every place of the bundle has turned it away, one after the other. */
export const noPlaceLeft = (life: LeaseLife): boolean => turnedAwayLast(life) >= placesOf(life);

/** Its next machine goes to the last place that there is: it waits there, whatever it takes. */
export const isLastPlace = (life: LeaseLife): boolean => turnedAwayLast(life) >= placesOf(life) - 1;
