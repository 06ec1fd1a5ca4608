import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { heal, type Seen } from '../../src/domain/quota-heal.ts';
import { beyond, noUse, totalOf, usesBy } from '../../src/domain/quota-use.ts';
import {
  coolingAt,
  emptyLedger,
  queueOf,
  reconfigure,
  release,
  reserve,
  stockedOut,
  type AccountQuota,
  type Ledger,
  type QuotaAsk,
  type QuotaAnswer,
} from '../../src/domain/quota.ts';

const ask = (key: string, change: Partial<QuotaAsk> = {}): QuotaAsk => ({
  key,
  machineId: `${key}.1`,
  leaseId: key,
  owner: 'ana',
  priority: 0,
  provider: 'local',
  place: 'local',
  cores: 1,
  memoryMb: 0,
  patient: true,
  ...change,
});
const seenAs = ({ key, machineId, leaseId, owner, cores, memoryMb }: QuotaAsk): Seen => ({
  key,
  machineId,
  leaseId,
  owner,
  cores,
  memoryMb,
});
const keysOf = (all: readonly { readonly key: string }[]): readonly string[] => all.map(({ key }) => key);

/** Asks one after the other, a millisecond each. */
function asked(quota: AccountQuota, ...asks: readonly QuotaAsk[]): { ledger: Ledger; answers: readonly QuotaAnswer[] } {
  let ledger = emptyLedger('local', quota);
  const answers = asks.map((each, n) => {
    const { ledger: next, answer } = reserve(ledger, each, n);
    ledger = next;
    return answer;
  });
  return { ledger, answers };
}

describe('a reservation', () => {
  test('is granted while there is room, and then waits, with its place and why', () => {
    const { answers } = asked(
      { cores: 8 },
      ask('a', { cores: 6, owner: 'ci' }),
      ask('b', { cores: 2 }),
      ask('c'),
      ask('d', { owner: 'ci' }),
      ask('e', { owner: 'eve' }),
    );
    const why = 'account local: 8 of 8 cores in use (ci 6, ana 2)';
    expect(answers).toEqual([
      { state: 'granted' },
      { state: 'granted' },
      { state: 'queued', place: 1, of: 1, why },
      { state: 'queued', place: 2, of: 2, why },
      // Who has nothing comes before those who have.
      { state: 'queued', place: 1, of: 3, why },
    ]);
  });

  test('says what the head of the queue needs where there is some room', () => {
    const { answers } = asked({ cores: 8 }, ask('a', { cores: 6 }), ask('b', { cores: 4 }), ask('c'));
    const why = 'account local: 6 of 8 cores in use (ana 6)';
    expect(answers.slice(1)).toEqual([
      { state: 'queued', place: 1, of: 1, why: `${why}; it needs 4` },
      { state: 'queued', place: 2, of: 2, why: `${why}; who comes first needs 4` },
    ]);
  });

  test('beyond an owner’s own part waits for that owner, and holds nobody else up', () => {
    const { answers } = asked(
      { machines: 4, perOwner: { machines: 1 } },
      ask('a'),
      ask('b'),
      ask('c', { owner: 'ci' }),
      ask('d', { owner: 'ci' }),
    );
    expect(answers).toEqual([
      { state: 'granted' },
      { state: 'queued', place: 1, of: 1, why: 'owner ana: 1 of 1 machines in use' },
      { state: 'granted' },
      { state: 'queued', place: 2, of: 2, why: 'owner ci: 1 of 1 machines in use' },
    ]);
  });

  test('that can never be met is refused at once, with the limit', () => {
    const quota = { cores: 8, memoryMb: 1_024, perOwner: { cores: 4 } };
    const { answers, ledger } = asked(
      quota,
      ask('a', { cores: 9 }),
      ask('b', { memoryMb: 2_048 }),
      ask('c', { cores: 5 }),
    );
    expect(answers.map((each) => ('reason' in each ? each.reason.message : each.state))).toEqual([
      'Machine a.1 needs 9 cores, and account local has 8 in all (quota.cores). Try: a smaller variant, or a larger quota in slipway.yaml.',
      'Machine b.1 needs 2048 MB of memory, and account local has 1024 in all (quota.memoryMb). Try: a smaller variant, or a larger quota in slipway.yaml.',
      'Machine c.1 needs 5 cores, and each owner has 4 of account local (quota.perOwner.cores). Try: a smaller variant, or a larger quota in slipway.yaml.',
    ]);
    expect(answers.every((each) => each.state === 'refused' && each.reason.type === 'QuotaExceeded')).toBe(true);
    expect(ledger).toEqual(emptyLedger('local', quota));
  });

  test('asked again under its key stands where it stood', () => {
    const { ledger } = asked({ machines: 1 }, ask('a'), ask('b'));
    for (const [key, state] of [
      ['a', 'granted'],
      ['b', 'queued'],
    ] as const) {
      const again = reserve(ledger, ask(key), 100);
      expect(again.answer.state).toBe(state);
      expect(again.ledger).toEqual(ledger);
    }
  });

  test('that was given back gets nothing when its ask arrives late', () => {
    const { ledger } = asked({ machines: 1 });
    const late = reserve(release(ledger, 'a', 1), ask('a'), 2);
    expect(late.answer).toMatchObject({ state: 'refused', reason: { type: 'Gone' } });
    expect(late.ledger.held).toEqual([]);
  });

  test('that was never made changes nothing when it is given back', () => {
    const { ledger } = asked({ machines: 1 }, ask('a'), ask('b'));
    const after = release(ledger, 'nobody', 5);
    expect({ ...after, released: [] }).toEqual({ ...ledger, released: [] });
  });
});

describe('who waits', () => {
  test('is served by priority, then by who has least, then by who came first', () => {
    const { ledger } = asked(
      { machines: 3 },
      ask('held1', { owner: 'flood' }),
      ask('held2', { owner: 'flood' }),
      ask('held3', { owner: 'ana' }),
      ask('f1', { owner: 'flood' }),
      ask('f2', { owner: 'flood' }),
      ask('f3', { owner: 'flood' }),
      ask('a1', { owner: 'ana' }),
      ask('n1', { owner: 'new' }),
      ask('a2', { owner: 'ana' }),
      ask('urgent', { owner: 'flood', priority: 5 }),
      ask('later', { owner: 'new', priority: -5 }),
    );
    // `urgent` counts as flood's third machine by then: all others are level at their turn.
    expect(keysOf(queueOf(ledger))).toEqual(['urgent', 'n1', 'a1', 'a2', 'f1', 'f2', 'f3', 'later']);
  });

  test('is not held up by one who floods: the next room is for the other', () => {
    const flood = Array.from({ length: 50 }, (_, n) => ask(`f${n}`, { owner: 'flood' }));
    const { ledger } = asked({ machines: 4 }, ...flood, ask('a', { owner: 'ana' }));
    const after = release(ledger, 'f0', 99);
    expect(keysOf(after.held)).toEqual(['f1', 'f2', 'f3', 'a']);
    expect(after.news).toEqual([{ machineId: 'a.1', key: 'a' }]);
  });

  test('for much is not overtaken for ever by those who want little', () => {
    const { ledger } = asked({ cores: 4 }, ask('a'), ask('b'), ask('big', { cores: 4 }), ask('small'));
    const one = release(ledger, 'a', 10);
    expect(keysOf(one.held)).toEqual(['b']);
    expect(keysOf(release(one, 'b', 11).held)).toEqual(['big']);
  });
});

describe('a place without capacity', () => {
  const place = 'ec2/zone-a/m1';
  const cloud = { provider: 'ec2', place } as const;
  const out = (ledger: Ledger, key: string, nowMs: number): Ledger =>
    stockedOut(ledger, { key, place, jitter: 0.5 }, nowMs);

  test('refuses those who can go elsewhere, new ones and those who waited', () => {
    const { ledger } = asked(
      { machines: 1, coolDownMs: 60_000 },
      ask('a', cloud),
      ask('b', { ...cloud, patient: false }),
    );
    const after = out(ledger, 'a', 1_000);
    const cooling = `Place ${place} had no capacity: it is not asked before 1970-01-01T00:01:01.000Z.`;
    const reason = { type: 'CapacityUnavailable', message: cooling };
    expect(after.news).toEqual([{ machineId: 'b.1', key: 'b', refused: reason }]);
    expect(reserve(after, ask('c', { ...cloud, patient: false }), 2_000).answer).toEqual({ state: 'refused', reason });
    expect(reserve(after, ask('d', { provider: 'ec2', place: 'ec2/zone-b/m1' }), 2_000).answer).toEqual({
      state: 'granted',
    });
    expect(reserve(after, ask('e', cloud), 2_000).answer).toEqual({ state: 'queued', place: 2, of: 2, why: cooling });
  });

  test('keeps nothing for the one that met it, which waits on in its old turn', () => {
    const { ledger } = asked({ machines: 1, coolDownMs: 60_000 }, ask('a', cloud), ask('b', cloud));
    const after = out(ledger, 'a', 0);
    expect([keysOf(after.held), keysOf(queueOf(after))]).toEqual([[], ['a', 'b']]);
    const cooled = reserve(after, ask('b', cloud), 60_000);
    expect(cooled.ledger.news).toEqual([{ machineId: 'a.1', key: 'a' }]);
    expect(cooled.answer.state).toBe('queued');
  });

  test('holds up nobody who waits for another', () => {
    const { ledger } = asked({ machines: 1 }, ask('a', cloud), ask('b', cloud), ask('c'));
    expect(keysOf(out(ledger, 'a', 10).held)).toEqual(['c']);
  });
});

describe('a quota that is changed', () => {
  test('takes nothing away, grants what it now has room for, and refuses what it never will', () => {
    const { ledger } = asked({ cores: 4 }, ask('a', { cores: 4 }), ask('b', { cores: 3 }), ask('c'));
    const less = reconfigure(ledger, { cores: 2 }, 10);
    expect([keysOf(less.held), keysOf(less.waiting)]).toEqual([['a'], ['c']]);
    expect(less.news).toMatchObject([{ key: 'b', refused: { type: 'QuotaExceeded' } }]);
    expect(keysOf(reconfigure(ledger, { cores: 8 }, 10).held)).toEqual(['a', 'b', 'c']);
    expect(keysOf(reconfigure(ledger, {}, 10).held)).toEqual(['a', 'b', 'c']);
  });
});

describe('a ledger that disagrees with the provider', () => {
  const look = (seen: readonly QuotaAsk[], atMs: number, closed: readonly string[] = []) => ({
    provider: 'local',
    atMs,
    seen: seen.map(seenAs),
    closed,
  });

  test('counts machines that nobody reserved, shows them, and forgets them at the second look that does not see them', () => {
    const { ledger } = asked({ machines: 1 });
    const found = heal(ledger, look([ask('x'), ask('y')], 10), 10);
    expect(found).toMatchObject({ held: [{ key: 'x', found: true }, { key: 'y' }], healed: 2 });
    expect(reserve(found, ask('a'), 11).answer).toMatchObject({
      state: 'queued',
      why: 'account local: 2 of 1 machines in use (ana 2)',
    });
    const once = heal(found, look([ask('y')], 20), 20);
    expect(once.held).toMatchObject([{ key: 'x', missing: true }, { key: 'y' }]);
    const twice = heal(once, look([ask('y')], 30), 30);
    expect([keysOf(twice.held), twice.healed]).toEqual([['y'], 3]);
    const again = heal(once, look([ask('x'), ask('y')], 30), 30);
    expect(again.held.every((each) => each.missing === undefined)).toBe(true);
  });

  test('keeps the reservation of a machine that is being made or destroyed, as long as its workflow is open', () => {
    const { ledger } = asked({ machines: 1 }, ask('a'), ask('b'));
    const twice = heal(heal(ledger, look([], 10), 10), look([], 20), 20);
    expect([keysOf(twice.held), keysOf(twice.waiting)]).toEqual([['a'], ['b']]);
  });

  test('drops what nobody will give back: who waits at once, who has at the second look', () => {
    const { ledger } = asked({ machines: 1 }, ask('a'), ask('b'), ask('c'));
    const once = heal(ledger, look([], 10, ['a', 'b']), 10);
    expect([keysOf(once.held), keysOf(once.waiting)]).toEqual([['a'], ['c']]);
    const twice = heal(once, look([], 20, ['a']), 20);
    expect([keysOf(twice.held), twice.healed]).toEqual([['c'], 2]);
    const seen = heal(once, look([ask('a')], 20, ['a']), 20);
    expect(keysOf(seen.held)).toEqual(['a']);
  });

  test('does not count what was given back while it was looked at, nor drop what was granted meanwhile', () => {
    const { ledger } = asked({ machines: 1 }, ask('a'), ask('b'));
    const given = release(ledger, 'a', 20);
    const after = heal(heal(given, look([ask('a')], 15, ['b']), 21), look([ask('a')], 16, ['b']), 22);
    expect(keysOf(after.held)).toEqual(['b']);
  });

  test('says nothing about another provider of the account', () => {
    const { ledger } = asked({ machines: 2 }, ask('a'), ask('b', { provider: 'second', place: 'second' }));
    const after = heal(heal(ledger, look([], 10, ['a', 'b']), 10), look([], 20, ['a', 'b']), 20);
    expect(keysOf(after.held)).toEqual(['b']);
  });
});

const keys = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'] as const;
const places = ['local', 'local/z', 'second'] as const;
const anAsk = fc.record({
  key: fc.constantFrom(...keys),
  owner: fc.constantFrom('ana', 'ci', 'eve'),
  priority: fc.constantFrom(0, 0, 0, 5, -5),
  place: fc.constantFrom(...places),
  cores: fc.integer({ min: 1, max: 6 }),
  memoryMb: fc.constantFrom(0, 512, 1_024),
  patient: fc.boolean(),
});
const aLimit = fc.option(fc.integer({ min: 1, max: 8 }), { nil: undefined });
const limits = fc
  .record({ machines: aLimit, cores: aLimit })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, limit]) => limit !== undefined)));
const quotaOf = (account: AccountQuota, perOwner: AccountQuota): AccountQuota => ({
  ...account,
  perOwner,
  coolDownMs: 100,
});
const aQuota = fc.tuple(limits, limits).map(([account, perOwner]) => quotaOf(account, perOwner));

type Step =
  | { readonly do: 'reserve'; readonly ask: QuotaAsk }
  | { readonly do: 'release'; readonly key: string }
  | { readonly do: 'stockout'; readonly key: string; readonly place: string }
  | { readonly do: 'reconfigure'; readonly quota: AccountQuota }
  | { readonly do: 'heal'; readonly seen: readonly QuotaAsk[]; readonly closed: readonly string[] };
const asAsk = (of: Partial<QuotaAsk>): QuotaAsk =>
  ask(of.key ?? 'a', { ...of, provider: of.place?.split('/')[0] ?? '' });
const reserving = fc.record({ do: fc.constant('reserve' as const), ask: anAsk.map(asAsk) });
const releasing = fc.record({ do: fc.constant('release' as const), key: fc.constantFrom(...keys) });
const stockingOut = fc.record({
  do: fc.constant('stockout' as const),
  key: fc.constantFrom(...keys),
  place: fc.constantFrom(...places),
});
const changing: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constant('reconfigure' as const), quota: aQuota }),
  fc.record({
    do: fc.constant('heal' as const),
    seen: fc.uniqueArray(anAsk.map(asAsk), { selector: ({ key }) => key, maxLength: 4 }),
    closed: fc.subarray([...keys]),
  }),
);
const usual: fc.Arbitrary<Step> = fc.oneof(
  { weight: 4, arbitrary: reserving },
  { weight: 3, arbitrary: releasing },
  { weight: 1, arbitrary: stockingOut },
);
const any: fc.Arbitrary<Step> = fc.oneof({ weight: 6, arbitrary: usual }, { weight: 1, arbitrary: changing });

function perform(ledger: Ledger, step: Step, nowMs: number): Ledger {
  switch (step.do) {
    case 'reserve':
      return reserve(ledger, step.ask, nowMs).ledger;
    case 'release':
      return release(ledger, step.key, nowMs);
    case 'stockout':
      return stockedOut(ledger, { ...step, jitter: 0.5 }, nowMs);
    case 'reconfigure':
      return reconfigure(ledger, step.quota, nowMs);
    case 'heal':
      return heal(ledger, { provider: 'local', atMs: nowMs, seen: step.seen.map(seenAs), closed: step.closed }, nowMs);
  }
}

const isWithin = ({ held, quota }: Ledger): boolean =>
  beyond(totalOf(held), quota) === undefined &&
  [...usesBy(held).values()].every((use) => beyond(use, quota.perOwner) === undefined);

/** What holds of every ledger. */
function hold(before: Ledger, now: Ledger, nowMs: number): void {
  const all = keysOf([...now.held, ...now.waiting]);
  expect(new Set(all).size).toBe(all.length);
  const had = new Set(keysOf(before.held));
  const granted = now.held.filter(({ key, found }) => !had.has(key) && !found);
  // Whatever was found or taken away: nothing is granted beyond a limit.
  if (granted.length > 0) expect(beyond(totalOf(now.held), now.quota)).toBe(undefined);
  for (const { owner } of granted)
    expect(beyond(usesBy(now.held).get(owner) ?? noUse, now.quota.perOwner)).toBe(undefined);
  // Nobody waits for what is there.
  const uses = usesBy(now.held);
  const eligible = queueOf(now).filter(({ place }) => !coolingAt(now, place, nowMs));
  // The first of each owner: they do not overtake themselves.
  const head = eligible
    .filter(({ owner }, n) => eligible.findIndex((each) => each.owner === owner) === n)
    .find((each) => {
      const own = now.held.filter(({ owner }) => owner === each.owner);
      return beyond(totalOf([...own, each]), now.quota.perOwner) === undefined;
    });
  if (head) expect(beyond(totalOf([...now.held, head]), now.quota)).toBeDefined();
  for (const use of uses.values()) for (const amount of Object.values(use)) expect(amount).toBeGreaterThanOrEqual(0);
  for (const { key, refused } of now.news) {
    const held = now.held.find((each) => each.key === key);
    if (refused) expect(held === undefined || held.found === true).toBe(true);
    else expect(held).toBeDefined();
    expect(now.waiting.some((each) => each.key === key)).toBe(false);
  }
}

describe('whatever happens', () => {
  test('nothing is granted beyond a limit, nobody waits for what is there, and no key counts twice', () => {
    fc.assert(
      fc.property(
        aQuota,
        fc.array(fc.tuple(any, fc.integer({ min: 0, max: 80 })), { maxLength: 60 }),
        (quota, steps) => {
          let ledger = emptyLedger('local', quota);
          let nowMs = 0;
          for (const [step, afterMs] of steps) {
            nowMs += afterMs;
            const next = perform(ledger, step, nowMs);
            hold(ledger, next, nowMs);
            ledger = next;
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test('the account stays within every limit under any interleaving of asks, releases and stockouts', () => {
    fc.assert(
      fc.property(aQuota, fc.array(usual, { maxLength: 80 }), (quota, steps) => {
        let ledger = emptyLedger('local', quota);
        steps.forEach((step, n) => {
          ledger = perform(ledger, step, n * 10);
          expect(isWithin(ledger)).toBe(true);
        });
      }),
      { numRuns: 500 },
    );
  });

  test('who waits gets it, or is refused, when all that is held is given back, in whatever order', () => {
    fc.assert(
      fc.property(aQuota, fc.array(any, { maxLength: 50 }), fc.infiniteStream(fc.nat()), (quota, steps, choices) => {
        let nowMs = 0;
        let ledger = emptyLedger('local', quota);
        for (const step of steps) ledger = perform(ledger, step, (nowMs += 10));
        // Every cool-down is over from here on.
        nowMs += 3_600_000;
        for (let rounds = 0; ledger.held.length > 0 || ledger.waiting.length > 0; rounds += 1) {
          expect(rounds).toBeLessThanOrEqual(2 * keys.length);
          const { held } = ledger;
          const key = held[(choices.next().value ?? 0) % Math.max(1, held.length)]?.key ?? 'nobody';
          ledger = release(ledger, key, (nowMs += 1));
        }
      }),
      { numRuns: 500 },
    );
  });

  test('as many machines of one size are granted as fit, whoever asks in whatever order', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 10 }),
        fc.shuffledSubarray(Array.from({ length: 20 }, (_, n) => n)),
        (cores, order) => {
          const { ledger } = asked({ cores }, ...order.map((n) => ask(`k${n}`, { owner: `o${n % 3}` })));
          expect(ledger.held.length).toBe(Math.min(cores, order.length));
          expect(ledger.held.length + ledger.waiting.length).toBe(order.length);
        },
      ),
    );
  });
});
