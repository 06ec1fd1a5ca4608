import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { estimator } from '../../src/domain/pool-estimate.ts';
import { applyPool } from '../../src/domain/pool-life.ts';
import { inOrder } from '../../src/domain/pool-order.ts';
import { nextWakeMs, planPool } from '../../src/domain/pool-plan.ts';
import { ceilingOf, targetOf } from '../../src/domain/pool.ts';
import { claimOf, declare, digest, planOf, PoolModel } from '../support/pool-model.ts';

const broken = { type: 'CustomizeFailed', message: 'step 1 of 2 failed: install: exit 100' } as const;
const minuteMs = 60_000;
const hourMs = 60 * minuteMs;

const filled = (settings: Parameters<typeof declare>[0] = {}): PoolModel => {
  const model = new PoolModel(declare(settings));
  model.settle();
  return model;
};
const warm = (model: PoolModel): number => model.inState('warm').length;

/** What a story may do next to a pool. */
const deeds = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('happen' as const), at: fc.nat(20) }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('claim' as const),
      lease: fc.nat(12),
      owner: fc.constantFrom('ana', 'ben', 'eve'),
      priority: fc.constantFrom(0, 0, 0, 10),
      version: fc.constantFrom('d', 'd', 'd', 'e'),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('release' as const), lease: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('withdraw' as const), lease: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('close' as const), lease: fc.nat(12) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('lose' as const), n: fc.nat(12) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('pass' as const), ms: fc.nat(2 * hourMs) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('break' as const), is: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('reuse' as const), is: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('set' as const), target: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drain' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('edit' as const), version: fc.constantFrom('d', 'e') }) },
);
/** At once, or a moment later. */
const refills = fc.constantFrom({}, { refillAfterMs: 250 });
type Deed = typeof deeds extends fc.Arbitrary<infer T> ? T : never;

function perform(model: PoolModel, deed: Deed): void {
  switch (deed.do) {
    case 'happen':
      return model.happen(deed.at % Math.max(1, model.pending.length));
    case 'claim': {
      const id = `l${deed.lease}`;
      if (model.closedLeases.has(id)) return;
      const claim = claimOf(id, { owner: deed.owner, priority: deed.priority, digest: digest(deed.version) });
      const before = model.life.machines.find((machine) => machine.claim?.leaseId === id && !machine.claim.withdrawn);
      const answer = model.claim(claim);
      if (before) expect(answer).toMatchObject({ state: 'granted', machineId: before.machineId, provider: 'fake' });
      return;
    }
    case 'reuse':
      model.reuse = deed.is;
      return;
    case 'release':
      return model.release(`l${deed.lease}`);
    case 'withdraw':
      model.closedLeases.add(`l${deed.lease}`);
      return model.apply({ type: 'withdrawn', leaseId: `l${deed.lease}`, attempt: 1 });
    case 'close':
      return void model.closedLeases.add(`l${deed.lease}`);
    case 'lose':
      return model.lose(`web+${deed.n}`);
    case 'pass':
      return model.pass(deed.ms);
    case 'break':
      return void (model.broken = deed.is ? broken : undefined);
    case 'set':
      return model.apply({ type: 'set', target: deed.target });
    case 'drain':
      return model.apply({ type: 'drained', why: 'a test' });
    case 'edit':
      return model.apply({ type: 'declared', declared: declare({}, { plan: planOf(deed.version) }) });
  }
}

function keepsItsPromises(model: PoolModel): void {
  const { life } = model;
  expect(life.machines.length).toBeLessThanOrEqual(ceilingOf(life));
  expect(model.inState('making', 'warm', 'leased', 'reclaiming').length).toBeLessThanOrEqual(ceilingOf(life));
  const leases = life.machines.flatMap(({ claim }) => (claim ? [claim.leaseId] : []));
  expect(new Set(leases).size).toBe(leases.length);
  const waiting = life.waiting.map(({ leaseId }) => leaseId);
  expect(new Set([...waiting, ...leases]).size).toBe(waiting.length + leases.length);
  const holders = model.inState('leased').map(({ leaseId }) => leaseId);
  expect(new Set(holders).size).toBe(holders.length);
  // Nothing is left to be done at this moment.
  expect(planPool(life, model.nowMs)).toEqual([]);
}

describe('a pool', () => {
  test('never passes its ceiling, and never gives one machine to two leases or two to one, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(deeds, { maxLength: 80 }), refills, (story, rest) => {
        const model = new PoolModel(declare({}, rest));
        for (const deed of story) {
          perform(model, deed);
          keepsItsPromises(model);
        }
      }),
      { numRuns: 400 },
    );
  });

  test('comes to rest in any fair world, and ends when it is not declared any more', () => {
    fc.assert(
      fc.property(fc.array(deeds, { maxLength: 60 }), refills, (story, rest) => {
        const model = new PoolModel(declare({}, rest));
        for (const deed of story) perform(model, deed);
        model.broken = undefined;
        model.apply({ type: 'declared', declared: declare({ target: 1 }, { plan: planOf('e'), ...rest }) });
        // Everybody gives back what they have, until nobody waits.
        for (let n = 0; n < 60; n += 1) {
          model.settle();
          for (const { leaseId } of model.inState('leased')) if (leaseId !== undefined) model.release(leaseId);
          model.pass(hourMs);
        }
        model.settle();
        expect(model.life.waiting).toEqual([]);
        expect(warm(model)).toBe(1);
        model.apply({ type: 'retracted', why: 'not declared any more' });
        model.settle();
        expect(model.over).toBe(true);
        expect(model.inState('making', 'warm', 'leased', 'reclaiming')).toEqual([]);
      }),
      { numRuns: 200 },
    );
  });

  test('makes its target, and as many again as are taken, up to its ceiling', () => {
    const model = filled();
    expect(warm(model)).toBe(2);
    for (const id of ['a', 'b', 'c', 'd']) model.claim(claimOf(id));
    model.settle();
    expect([...model.taken.keys()]).toEqual(['a', 'b', 'c', 'd']);
    expect(warm(model)).toBe(1);
    expect(model.created).toBe(5);
    model.claim(claimOf('e'));
    expect(model.claim(claimOf('f'))).toMatchObject({ state: 'queued', place: 1 });
    model.settle();
    expect(model.created).toBe(5);
    model.release('a');
    model.settle();
    expect(model.told).toContainEqual({ leaseId: 'f', state: 'granted' });
  });

  test('makes the successor of a machine a moment after it was given away, and at once where somebody waits', () => {
    const model = new PoolModel(declare({ target: 2 }, { refillAfterMs: 250 }));
    model.settle();
    model.claim(claimOf('a'));
    model.settle();
    model.pass(100);
    model.claim(claimOf('b'));
    model.settle();
    expect(model.created).toBe(2);
    // Each has its own moment: steady claims put off no refill.
    model.pass(150);
    expect(model.created).toBe(3);
    model.pass(100);
    expect(model.created).toBe(4);
    model.settle();
    expect(warm(model)).toBe(2);
    for (const id of ['c', 'd', 'e']) model.claim(claimOf(id));
    expect(model.life.waiting).toHaveLength(1);
    expect(model.created).toBe(5);
  });

  test('answers the same lease with the same machine, and a lease that is over with nothing', () => {
    const model = filled();
    const first = model.claim(claimOf('a'));
    expect(first).toMatchObject({ state: 'granted' });
    expect(model.claim(claimOf('a'))).toEqual(first);
    model.settle();
    expect(model.claim(claimOf('a'))).toEqual(first);
    model.release('a');
    model.settle();
    expect(model.claim(claimOf('a'))).toMatchObject({ state: 'none', why: expect.stringContaining('is over') });
    // Its next attempt is another claim.
    expect(model.claim(claimOf('a', { attempt: 2 }))).toMatchObject({ state: 'granted' });
  });

  test('tells how its machine is reached in the answer, but not to a lease that brings what is not on it yet', () => {
    const model = filled();
    expect(model.claim(claimOf('a'))).toMatchObject({
      state: 'granted',
      warm: { key: 'k', access: { machineId: 'web+1' }, facts: { birth: 'run' } },
    });
    const own = { digest: digest('f'), from: 0, of: 1 };
    expect(model.claim(claimOf('b', { own }))).not.toHaveProperty('warm');
  });

  test('does not tell how it is reached while the lease is being told, for it may still go to the next one unseen', () => {
    const model = filled({ target: 1, ceiling: 1 });
    model.reuse = true;
    model.claim(claimOf('a'));
    model.claim(claimOf('b'));
    model.settle();
    model.release('a');
    while (model.pending[0]?.what !== 'tell') model.happen(0);
    // Its first answer was lost: it asks again while the word of its grant is under way.
    const answer = model.claim(claimOf('b'));
    expect(answer).toMatchObject({ state: 'granted', machineId: 'web+1' });
    expect(answer).not.toHaveProperty('warm');
    model.apply({ type: 'withdrawn', leaseId: 'b', attempt: 1 });
    model.settle();
    expect(warm(model)).toBe(1);
    expect(model.taken.has('b')).toBe(false);
    // Once it is held it is told to whoever asks again.
    model.claim(claimOf('c'));
    model.settle();
    expect(model.claim(claimOf('c'))).toHaveProperty('warm');
  });

  test('gives the last machine to one of two owners, and to the other the next', () => {
    const model = filled({ target: 1, ceiling: 1 });
    expect(model.claim(claimOf('a', { owner: 'ana' }))).toMatchObject({ state: 'granted' });
    expect(model.claim(claimOf('b', { owner: 'ben' }))).toMatchObject({ state: 'queued', place: 1 });
    model.settle();
    model.release('a');
    model.settle();
    expect(model.taken.get('b')).toHaveLength(1);
  });

  test('takes a claim back that was withdrawn before it was known, and one that comes after', () => {
    const model = filled({ target: 1, ceiling: 1 });
    model.apply({ type: 'withdrawn', leaseId: 'late', attempt: 1 });
    expect(model.claim(claimOf('late'))).toMatchObject({ state: 'none' });
    expect(warm(model)).toBe(1);
    model.claim(claimOf('a'));
    model.claim(claimOf('b'));
    model.apply({ type: 'withdrawn', leaseId: 'b', attempt: 1 });
    model.apply({ type: 'withdrawn', leaseId: 'a', attempt: 1 });
    model.settle();
    expect(model.life.waiting).toEqual([]);
    expect(model.inState('leased')).toEqual([]);
  });

  test('leaves its machine warm when the lease in the queue has closed', () => {
    const model = filled({ target: 1, ceiling: 1 });
    model.claim(claimOf('a'));
    model.claim(claimOf('b'));
    model.closedLeases.add('b');
    model.settle();
    model.release('a');
    model.settle();
    expect(model.taken.has('b')).toBe(false);
    expect(warm(model)).toBe(1);
    expect(model.created).toBe(2);
  });

  test('puts a lease back in its place when its machine was lost before the lease had it', () => {
    const model = filled({ target: 2, ceiling: 2 });
    expect(model.claim(claimOf('a'))).toMatchObject({ machineId: 'web+1' });
    model.lose('web+1');
    expect(model.claim(claimOf('a'))).toMatchObject({ state: 'granted', machineId: 'web+2' });
    model.settle();
    expect(model.taken.get('a')).toEqual(['web+2']);
  });

  test('replaces what stood idle for too long, and makes the successor first', () => {
    const model = filled({ target: 2, ceiling: 5, idleMs: hourMs });
    model.pass(hourMs - 1);
    expect(model.created).toBe(2);
    model.pass(1);
    expect(model.inState('warm')).toHaveLength(2);
    expect(model.created).toBe(4);
    model.settle();
    expect(model.inState('warm').map(({ machineId }) => machineId)).toEqual(['web+3', 'web+4']);
  });

  test('replaces one after the other where there is no room for a successor', () => {
    const model = filled({ target: 2, ceiling: 2, idleMs: hourMs });
    model.pass(hourMs);
    model.happen(0);
    expect(model.inState('warm', 'reclaiming').map(({ state }) => state)).toEqual(['reclaiming', 'warm']);
    model.settle();
    expect(model.inState('warm').map(({ machineId }) => machineId)).toEqual(['web+3', 'web+4']);
  });

  test('drains machines of an old bundle when they are idle, never under a lease', () => {
    const model = filled();
    model.claim(claimOf('a'));
    model.settle();
    model.apply({ type: 'declared', declared: declare({}, { plan: planOf('e') }) });
    model.settle();
    expect(model.inState('leased')).toMatchObject([{ leaseId: 'a', retiring: true }]);
    expect(model.inState('warm')).toHaveLength(2);
    expect(model.life.machines.filter(({ phase }) => phase === 'warm').map((each) => each.digest)).toEqual([
      digest('e'),
      digest('e'),
    ]);
    expect(model.claim(claimOf('old'))).toMatchObject({ state: 'none' });
    expect(model.claim(claimOf('new', { digest: digest('e') }))).toMatchObject({ state: 'granted' });
  });

  test('lets nobody use a machine more often than it allows', () => {
    const model = filled({ target: 1, maxUses: 1 });
    model.claim(claimOf('a'));
    model.settle();
    expect(model.inState('leased')).toMatchObject([{ retiring: true }]);
  });

  test('of a broken bundle makes a bounded number of machines, says why, and keeps nobody waiting', () => {
    const model = new PoolModel(declare({ target: 2, ceiling: 5 }));
    model.broken = broken;
    expect(model.claim(claimOf('a'))).toMatchObject({ state: 'queued' });
    model.settle();
    for (let n = 0; n < 3; n += 1) {
      model.pass(minuteMs);
      model.settle();
    }
    expect(model.told).toEqual([{ leaseId: 'a', state: 'failed' }]);
    expect(model.claim(claimOf('b'))).toMatchObject({
      state: 'failed',
      reason: { type: 'CustomizeFailed', message: expect.stringMatching(/Pool web cannot make .*exit 100/) },
    });
    for (let n = 0; n < 60; n += 1) {
      model.pass(minuteMs);
      model.settle();
    }
    expect(model.created).toBeLessThanOrEqual(14);
    for (let n = 0; n < 24; n += 1) {
      model.pass(hourMs);
      model.settle();
    }
    expect(model.created).toBeLessThanOrEqual(14 + 48);
    // Mended: the next look is due at once, not after the back-off.
    model.broken = undefined;
    model.apply({ type: 'declared', declared: declare({}, { plan: planOf('e') }) });
    model.settle();
    expect(model.life.failing).toBeUndefined();
    expect(warm(model)).toBe(2);
  });

  test('lets leases wait for a place that has nothing now, and tries the next variant', () => {
    const model = new PoolModel(declare({}, { plan: planOf('d', ['full', 'spare']) }));
    model.broken = { type: 'CapacityUnavailable', message: 'no machines of this size' };
    model.claim(claimOf('a'));
    model.settle();
    for (let n = 0; n < 5; n += 1) {
      model.pass(hourMs);
      model.settle();
    }
    expect(model.claim(claimOf('a'))).toMatchObject({ state: 'queued', place: 1 });
    expect(new Set(model.life.machines.map(({ provider }) => provider)).size).toBeLessThanOrEqual(1);
    model.broken = undefined;
    model.pass(hourMs);
    model.settle();
    expect(model.taken.get('a')).toHaveLength(1);
  });

  test('that is drained lets go of what is idle, sends who waits elsewhere, and fills again when a target is set', () => {
    const model = filled({ target: 1, ceiling: 1 });
    model.claim(claimOf('a'));
    model.claim(claimOf('b'));
    model.settle();
    model.apply({ type: 'drained', why: 'maintenance' });
    model.settle();
    expect(model.told).toEqual([{ leaseId: 'b', state: 'none' }]);
    expect(model.claim(claimOf('c'))).toMatchObject({ state: 'none', why: 'pool web is drained: maintenance' });
    expect(model.inState('leased')).toHaveLength(1);
    model.release('a');
    model.settle();
    expect(model.life.machines).toEqual([]);
    model.apply({ type: 'set', target: 1 });
    model.settle();
    expect(warm(model)).toBe(1);
  });

  test('that is not declared any more leaves its leases their machines, and ends after the last', () => {
    const model = filled();
    model.claim(claimOf('a'));
    model.settle();
    model.apply({ type: 'retracted', why: 'not in slipway.yaml any more' });
    model.settle();
    expect(model.inState('leased')).toHaveLength(1);
    expect(model.over).toBe(false);
    model.release('a');
    model.settle();
    expect(model.over).toBe(true);
  });

  test('keeps what was set by hand until its declaration is another', () => {
    const model = filled();
    model.apply({ type: 'set', target: 4 });
    model.apply({ type: 'declared', declared: declare() });
    expect(targetOf(model.life, model.nowMs)).toBe(4);
    model.apply({ type: 'declared', declared: declare({ target: 3 }) });
    expect(targetOf(model.life, model.nowMs)).toBe(3);
  });

  test('takes the highest target of periods that overlap, and its own where there is none', () => {
    const model = filled({ target: 1, ceiling: 9, schedule: [{ cron: '0 8 * * *', forMs: hourMs, target: 3 }] });
    const at = model.nowMs;
    model.apply({
      type: 'scheduled',
      list: [
        { fromMs: at + 10, untilMs: at + 100, target: 3 },
        { fromMs: at + 50, untilMs: at + 200, target: 7 },
        { fromMs: at + 150, untilMs: at + 160, target: 0 },
        { fromMs: at + 300, untilMs: at + 400, target: 0 },
      ],
      knownUntilMs: at + 10 * 24 * hourMs,
    });
    const targets = [0, 10, 60, 120, 155, 250, 350, 400].map((ms) => targetOf(model.life, at + ms));
    expect(targets).toEqual([1, 3, 7, 7, 7, 1, 0, 1]);
    expect(nextWakeMs(model.life, at)).toBe(at + 10);
  });

  test('passes the ids that an earlier pool of its name has used', () => {
    const model = filled({ target: 1 });
    let { life } = model;
    const reason = { type: 'Internal', message: 'taken' } as const;
    for (let n = 0; n < 6; n += 1) {
      const { nextMachine } = life;
      const machineId = `web+${nextMachine}`;
      life = applyPool(life, { type: 'started', machineId, provider: 'fake', digest: digest('d') }, 0);
      life = applyPool(life, { type: 'startFailed', machineId, taken: true, reason }, 0);
      expect(life.nextMachine).toBeGreaterThanOrEqual(nextMachine * 2);
    }
    expect(life.failing).toBeUndefined();
  });
});

describe('who waits', () => {
  const anyWaiting = fc.array(
    fc.record({ owner: fc.constantFrom('flood', 'ana', 'ben'), priority: fc.constantFrom(0, 0, 5) }),
    { minLength: 1, maxLength: 40 },
  );

  test('is served in the order in which one grant after the other would be made', () => {
    fc.assert(
      fc.property(anyWaiting, fc.nat(3), (asked, flooding) => {
        const machines = Array.from({ length: flooding }, (_, n) => machineOf(`web+${n}`, 'flood'));
        let waiting = asked.map((each, n) => ({ ...claimOf(`l${n}`, each), nth: n, sinceMs: 0 }));
        const order = inOrder({ machines, waiting });
        const served: string[] = [];
        const had = [...machines];
        while (waiting.length > 0) {
          const [next] = inOrder({ machines: had, waiting });
          if (!next) break;
          served.push(next.leaseId);
          had.push(machineOf(`web+x${served.length}`, next.owner));
          waiting = waiting.filter((each) => each.leaseId !== next.leaseId);
        }
        expect(order.map(({ leaseId }) => leaseId)).toEqual(served);
      }),
    );
  });

  test('gets a machine soon, however many another owner asks for', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.nat(5), (flood, has) => {
        const machines = Array.from({ length: has }, (_, n) => machineOf(`web+${n}`, 'flood'));
        const waiting = [
          ...Array.from({ length: flood }, (_, n) => ({
            ...claimOf(`f${n}`, { owner: 'flood' }),
            nth: n,
            sinceMs: 0,
          })),
          { ...claimOf('mine', { owner: 'ana' }), nth: flood, sinceMs: 0 },
        ];
        const place = inOrder({ machines, waiting }).findIndex(({ leaseId }) => leaseId === 'mine');
        expect(place).toBeLessThanOrEqual(has === 0 ? 1 : 0);
      }),
    );
  });

  const machineOf = (machineId: string, owner: string) => ({
    machineId,
    provider: 'fake',
    digest: digest('d'),
    phase: 'leased' as const,
    sinceMs: 0,
    uses: 1,
    claim: { ...claimOf(`of ${machineId}`, { owner }), stage: 'held' as const, grantedMs: 0, sinceMs: 0, nth: 0 },
  });

  test('hears no estimate before there is anything to go by, and then one from what was measured', () => {
    const model = new PoolModel(declare({ target: 0, ceiling: 1 }));
    expect(model.claim(claimOf('a'))).toEqual({ state: 'queued', place: 1 });
    model.pass(40_000);
    model.settle();
    expect(model.taken.get('a')).toHaveLength(1);
    // How long a lease lasts is not known yet.
    expect(model.claim(claimOf('b'))).toEqual({ state: 'queued', place: 1 });
    model.pass(100_000);
    model.release('a');
    model.pass(10_000);
    model.settle();
    // Made in 40 s, used for 100 s, gone after 10 s; this one is made already.
    expect(model.claim(claimOf('c'))).toEqual({ state: 'queued', place: 1, estimateMs: 150_000 });
    model.pass(30_000);
    expect(estimator(model.life, model.nowMs)(1)).toBe(120_000);
    expect(model.claim(claimOf('d'))).toEqual({ state: 'queued', place: 2, estimateMs: 270_000 });
  });

  test('whose machine is used again has it warm for the next lease, and makes no other', () => {
    const model = filled({ target: 1, ceiling: 1 });
    model.reuse = true;
    for (const [n, lease] of ['a', 'b', 'c'].entries()) {
      expect(model.claim(claimOf(lease))).toMatchObject({ state: 'granted', machineId: 'web+1' });
      model.settle();
      model.release(lease);
      expect(model.life.machines).toMatchObject([{ phase: 'making', renewing: true, uses: n + 1 }]);
      expect(model.life.machines[0]?.claim).toBeUndefined();
      model.settle();
      expect(model.life.machines).toMatchObject([{ phase: 'warm', uses: n + 1 }]);
    }
    expect(model.created).toBe(1);
    expect(model.life.measured).toMatchObject({ makeMs: [0], useMs: [0, 0, 0], leaveMs: [] });
  });
});
