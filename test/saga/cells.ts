import { FakeWorld, type ActivityName } from '../support/fake-world.ts';
import { onTheWay, isTold } from './kinds.ts';
import { ways } from './ways.ts';

/** Whose life is disturbed: what is cancelled and terminated is the workflow that it is named after. */
export const lifeNames = [
  'lease with a job',
  'held lease',
  'pooled lease',
  'machine',
  'pool machine',
  'pool',
  'task',
  'file',
  'key',
  'notification',
  'sweep',
  'orphan',
] as const;
export type LifeName = (typeof lifeNames)[number];

export const sides = ['before', 'after'] as const;
/** Of the activity's effect. */
export type Side = (typeof sides)[number];

/** What goes wrong there, with its words in the matrix. */
export const whats = {
  failsOnce: 'fails once',
  failsForGood: 'fails for good',
  runsTwice: 'runs twice',
  timesOut: 'times out',
  signalled: 'cancelled by signal',
  cancelled: 'cancelled by Temporal',
  terminated: 'terminated',
  killed: 'worker killed -9',
} as const;
export type What = keyof typeof whats;

export interface Cell {
  readonly life: LifeName;
  readonly activity: ActivityName;
  readonly side: Side;
  readonly what: What;
}

/** Of the fake world, which has them all by its type: a new activity without cells is noticed. */
export const activityNames = Object.keys(new FakeWorld().activities()) as readonly ActivityName[];

/** What goes wrong at a machine's own activity is the machine's: a lease above it is only told to end there. */
const isMachines = ({ life, activity, what }: Cell): boolean =>
  life === 'lease with a job' && onTheWay.has(activity) && !isTold(what);

/** Every combination that there is. */
export const allCells: readonly Cell[] = lifeNames.flatMap((life) =>
  activityNames
    .filter((activity) => ways[life][activity] !== undefined)
    .flatMap((activity) =>
      sides.flatMap((side) => (Object.keys(whats) as What[]).map((what) => ({ life, activity, side, what }))),
    )
    .filter((cell) => !isMachines(cell)),
);

export const titleOf = ({ life, activity, side, what }: Cell): string =>
  `${life}: ${activity}, ${side} its effect: ${whats[what]}`;
