import type { Reason } from './failure.ts';
import { jobTaskId } from './ids.ts';
import type { LeaseLife } from './lease-life.ts';
import type { CollectedFile } from './transfer.ts';

/** For all paths of a lease together, while nobody wants its end. */
export const collectWithinMs = 1_800_000;
/** From when a lease was cancelled, or its time was over: its machine lives for two more minutes, and others wait for it. */
export const collectPatienceMs = 30_000;

export interface Collecting {
  readonly byMs: number;
  /** `byMs` has passed: what is not here by now is not waited for. */
  readonly givenUp?: true;
}

/** Its guest can be reached, and it has not been done. */
export const mayCollect = ({ request, collecting, collected, machine }: LeaseLife): boolean =>
  (request.collect ?? []).length > 0 &&
  !collecting &&
  !collected &&
  machine?.phase === 'ready' &&
  machine.access !== undefined;

/** However it ended: then is when the caller wants to see what it made, not when the machine's hold is over. */
export const jobHasEnded = ({ request, tasks }: LeaseLife): boolean =>
  request.job !== undefined && tasks.some((task) => task.taskId === jobTaskId && task.phase === 'ended');

export function collectStarted(life: LeaseLife, nowMs: number): LeaseLife {
  const calm = life.ending === undefined || life.ending.state === 'released';
  return { ...life, collecting: { byMs: nowMs + (calm ? collectWithinMs : collectPatienceMs) } };
}

/** Somebody, or its time, ends the lease while its files are fetched. */
export function collectHurried(life: LeaseLife, nowMs: number): LeaseLife {
  const { collecting } = life;
  if (!collecting) return life;
  return { ...life, collecting: { ...collecting, byMs: Math.min(collecting.byMs, nowMs + collectPatienceMs) } };
}

/** When fetching is given up. */
export const collectByMs = ({ collecting }: LeaseLife): number =>
  collecting && !collecting.givenUp ? collecting.byMs : Infinity;

/** Nothing that is still on its way is waited for. */
export const isCollectGivenUp = ({ collecting, machine }: LeaseLife): boolean =>
  collecting !== undefined && (collecting.givenUp === true || machine?.phase !== 'ready');

/** Why a path is not here that was not fetched to its end. */
export function notCollected({ machine, ending }: LeaseLife, path: string): CollectedFile {
  const late: Reason = {
    type: 'GuestUnreachable',
    message: `${path} was not here in time: its machine had to be given back. Try: fewer or smaller files.`,
  };
  const lost: Reason = {
    type: 'GuestLost',
    message: `${path} went with its machine${ending?.reason ? `: ${ending.reason.message}` : '.'}`,
  };
  return { path, reason: machine?.phase === 'ready' ? late : lost };
}

/** As it is told: a machine that was lost before it could be asked took everything with it. */
export function collectedOf(life: LeaseLife): readonly CollectedFile[] | undefined {
  const { request, collected, collecting, ending, readyMs } = life;
  if (collected || collecting || !ending || readyMs === undefined || mayCollect(life)) return collected;
  return request.collect?.map((path) => notCollected(life, path));
}
