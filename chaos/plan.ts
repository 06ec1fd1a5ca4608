import { dice, type Dice } from './dice.ts';

/** What a lease of the run does, and what is done to it. */
export const shapes = [
  'job',
  'big',
  'steps',
  'files',
  'stdin',
  'failing',
  'kept',
  'held',
  'extended',
  'expired',
  'limited',
  'cancelled',
  'task-cancelled',
  'terminated',
  'rebooted',
  'full-disk',
  'clock-jump',
] as const;
export type Shape = (typeof shapes)[number];

/** What a lease without needs of its own asks for: `plain` is of no pool, the others are named after what their pool does with its machines. */
export const freeBundles = ['plain', 'plain', 'destroy', 'reload', 'reset'] as const;

export interface LeasePlan {
  /** Not before; later where all slots are taken. */
  readonly atMs: number;
  readonly leaseId: string;
  readonly shape: Shape;
  readonly bundle: (typeof freeBundles)[number];
  readonly tasks: number;
  /** Output comes in so many parts, with a rest between them. */
  readonly parts: number;
  /** Lines of a part, on stdout and on stderr. */
  readonly outLines: number;
  readonly errLines: number;
  readonly exitCode: number;
  /** When the shape's disturbance comes, after the lease was asked for. */
  readonly afterMs: number;
  /** Of a file or of standard input. */
  readonly bytes: number;
}

/** Between parts. */
export const restMs = 200;

/** Pure. Every shape comes once before any comes again. */
export function leasePlans(seed: number, minutes: number): readonly LeasePlan[] {
  const chance = dice(seed);
  const plans: LeasePlan[] = [];
  let bag: Shape[] = [];
  for (let atMs = 0; atMs < minutes * 60_000; atMs += chance.int(200, 2_000)) {
    if (bag.length === 0) bag = [...shapes];
    const [shape = 'job'] = bag.splice(chance.int(0, bag.length - 1), 1);
    plans.push(leasePlan(chance, atMs, `c${seed}-${plans.length}-${shape}`, shape));
  }
  return plans;
}

function leasePlan(chance: Dice, atMs: number, leaseId: string, shape: Shape): LeasePlan {
  const long = shape === 'expired' || shape === 'limited' || shape === 'cancelled' || shape === 'task-cancelled';
  return {
    atMs,
    leaseId,
    shape,
    bundle: chance.pick(freeBundles),
    tasks: chance.int(1, 3),
    parts: long ? chance.int(100, 150) : chance.int(1, 20),
    outLines: shape === 'big' ? chance.int(5_000, 20_000) : chance.int(0, 400),
    errLines: chance.int(0, 200),
    exitCode: chance.chance(0.3) ? 0 : chance.int(1, 120),
    afterMs: chance.int(0, 6_000),
    bytes: chance.int(1, 300_000),
  };
}
