import type { Rule } from '../src/providers/faults/fault-file.ts';
import type { WireFault } from '../test/support/ssh-proxy.ts';
import { dice, type Dice } from './dice.ts';

/** From `atMs` on until the next spell. */
export interface Spell {
  readonly atMs: number;
  readonly rules: readonly Rule[];
  readonly refuseLogins: number;
}

export type WireAct =
  | { readonly act: 'arm'; readonly fault: WireFault }
  /** Nobody listens at the proxy's port. */
  | { readonly act: 'refuseAll' }
  /** Open connections break, or fall silent. */
  | { readonly act: 'resetAll' }
  | { readonly act: 'hangAll' };
export interface WireStrike {
  readonly atMs: number;
  /** What stands is taken back after this. */
  readonly forMs: number;
  readonly act: WireAct;
}

export const victims = ['worker', 'api', 'temporal', 'local', 'stack'] as const;
export type Victim = (typeof victims)[number];
export interface Kill {
  readonly atMs: number;
  readonly who: Victim;
}

export interface Weather {
  readonly spells: readonly Spell[];
  readonly wire: readonly WireStrike[];
  readonly kills: readonly Kill[];
}

/** Each comes so often before any comes more. `stack` is all processes at once, and is as rare as an outage of the host is. */
const round: readonly Victim[] = [
  'worker',
  'worker',
  'worker',
  'api',
  'api',
  'temporal',
  'temporal',
  'local',
  'local',
  'stack',
];

/** Pure. */
export function weather(seed: number, minutes: number): Weather {
  const endMs = minutes * 60_000;
  let bag: Victim[] = [];
  return {
    spells: along(dice(seed + 1), endMs, [3_000, 15_000], spell),
    wire: along(dice(seed + 2), endMs, [500, 4_000], wireStrike),
    kills: along(dice(seed + 3), endMs, [4_000, 16_000], (chance, atMs) => {
      if (bag.length === 0) bag = [...round];
      const [who = 'worker'] = bag.splice(chance.int(0, bag.length - 1), 1);
      return { atMs, who };
    }),
  };
}

function along<T>(
  chance: Dice,
  endMs: number,
  [least, most]: readonly [number, number],
  make: (chance: Dice, atMs: number) => T,
): readonly T[] {
  const all: T[] = [];
  for (let atMs = chance.int(0, most); atMs < endMs; atMs += chance.int(least, most)) all.push(make(chance, atMs));
  return all;
}

function spell(chance: Dice, atMs: number): Spell {
  const rules = Array.from({ length: chance.int(0, 4) }, () => chance.pick(makers)(chance));
  // Nobody can tell two such rules apart, and a provider either keeps keys or does not.
  const different = rules.filter((rule, n) => rules.findIndex(({ fault }) => fault === rule.fault) === n);
  return { atMs, rules: different, refuseLogins: chance.chance(0.2) ? chance.int(1, 3) : 0 };
}

const verbs = ['create', 'findByKey', 'get', 'list', 'destroy', 'reload', 'rekey'] as const;
const which = (chance: Dice, most: number) => ({ rate: chance.int(5, most) / 100, seed: chance.int(1, 1_000_000) });
const verb = (chance: Dice) => ({ verb: verbs.filter(() => chance.chance(0.5)).concat(chance.pick(verbs)) });

/** One for each fault that is of single calls. A provider that fails every other call lets nothing through for long. */
const makers: readonly [(chance: Dice) => Rule, ...((chance: Dice) => Rule)[]] = [
  (chance) => ({ fault: 'lostResponse', ...verb(chance), ...which(chance, 40) }),
  (chance) => ({ fault: 'rateLimited', ...verb(chance), retryAfterMs: chance.int(10, 2_000), ...which(chance, 40) }),
  (chance) => ({ fault: 'serverError', ...verb(chance), ...which(chance, 40) }),
  (chance) => ({ fault: 'failure', verb: 'create', type: 'CapacityUnavailable', when: 'before', ...which(chance, 40) }),
  (chance) => ({ fault: 'failure', verb: 'create', type: 'QuotaExceeded', when: 'before', ...which(chance, 20) }),
  (chance) => ({ fault: 'failure', verb: 'create', type: 'RateLimited', when: 'after', ...which(chance, 40) }),
  (chance) => ({ fault: 'reset', ...verb(chance), lateMs: chance.int(0, 1_500), ...which(chance, 40) }),
  (chance) => ({ fault: 'slow', ...verb(chance), delayMs: chance.int(10, 3_000), ...which(chance, 40) }),
  (chance) => ({ fault: 'duplicate', ...verb(chance), ...which(chance, 100) }),
  (chance) => ({ fault: 'notVisibleYet', forMs: chance.int(50, 1_500), ...which(chance, 100) }),
  (chance) => ({ fault: 'listLag', forMs: chance.int(50, 1_500), ...which(chance, 100) }),
  (chance) => ({ fault: 'lyingDestroy', ...which(chance, 60) }),
  (chance) => ({ fault: 'stuckDestroying', forMs: chance.int(50, 8_000), ...which(chance, 60) }),
  () => ({ fault: 'forgetKeys' }),
];

function wireStrike(chance: Dice, atMs: number): WireStrike {
  const toward = chance.pick(['guest', 'worker'] as const);
  const afterBytes = chance.chance(0.5) ? chance.int(0, 5_000) : chance.int(0, 200_000);
  const act = chance.pick<() => WireAct>([
    () => ({ act: 'arm', fault: { fault: 'cut', toward, afterBytes } }),
    () => ({ act: 'arm', fault: { fault: 'reset', toward, afterBytes } }),
    () => ({ act: 'arm', fault: { fault: 'stall', toward, afterBytes } }),
    () => ({ act: 'arm', fault: { fault: 'refuse' } }),
    () => ({ act: 'arm', fault: { fault: 'slow', bytesPerSecond: chance.int(20_000, 500_000) } }),
    () => ({ act: 'refuseAll' }),
    () => ({ act: 'resetAll' }),
    () => ({ act: 'hangAll' }),
  ]);
  return { atMs, forMs: chance.int(200, 4_000), act: act() };
}
