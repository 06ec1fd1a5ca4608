import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isLeaving, type Access, type MachinePhase } from '../../src/domain/lease.ts';
import { applyMachine, bornMachine, type MachineEvent } from '../../src/domain/machine-life.ts';
import {
  quotaOf,
  selfReclaimGraceMs,
  type Hold,
  type MachineInput,
  type MachineLife,
} from '../../src/domain/machine.ts';
import { holdersOf, worthTelling } from '../../src/domain/machine-report.ts';
import { phaseDeadlineMs, timeline } from '../../src/domain/machine-times.ts';
import { machineStates } from '../../src/domain/lease.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';

const key = 'k'.repeat(40);
const reason = { type: 'GuestNeverReady', message: 'never' } as const;
const access: Access = {
  machineId: 'web.1',
  address: '127.77.0.1',
  port: 22,
  user: 'root',
  hostKey: 'ssh-ed25519 AAAA',
  fingerprint: 'SHA256:x',
};
const input: MachineInput = {
  machineId: 'web.1',
  leaseId: 'web',
  holder: 'lease/web',
  provider: 'fake',
  variant: 0,
  birth: 'run',
  key,
  plan: fakePlan({
    steps: [
      { title: 'one', limitMs: 1_000, allowFailure: false },
      { title: 'two', limitMs: 1_000, allowFailure: false },
    ],
  }),
  ttlMs: 3_600_000,
  tuning: defaultTuning,
};
const held: MachineInput = { ...input, holdOnFailureMs: 60_000 };
const pooled: MachineInput = { ...input, machineId: 'web+1', leaseId: '', holder: 'pool/web', pool: { name: 'web' } };
const quotaed: MachineInput = {
  ...input,
  plan: { ...input.plan, quotas: [{ account: 'cloud', place: 'fake/a', cores: 1, memoryMb: 0 }] },
};
const patient: MachineInput = { ...quotaed, patient: true };
const renewable = (reclaim: 'reload' | 'reset'): MachineInput => ({ ...pooled, plan: { ...pooled.plan, reclaim } });
const lease: Hold = { leaseId: 'a', holder: 'lease/a', ttlMs: 60_000 };
const ownSteps: Hold = { ...lease, own: { digest: 'o', from: 2, of: 4 } };

const located = { access, facts: { a: '1' }, tookMs: 200 };
const debt = { kind: 'machine', key, sinceMs: 0, quietFromMs: 0 } as const;
const quotaDebt = { kind: 'quota', key: 'cloud', sinceMs: 0, quietFromMs: 0 } as const;
const waiting = { account: 'cloud', place: 2, of: 3, why: 'account cloud: 1 of 1 machines in use (ci 1)' };
const stockout = { type: 'CapacityUnavailable', message: 'none left' } as const;
/** One of each kind; what it carries does not decide where it leads. */
const events: readonly MachineEvent[] = [
  { type: 'owed', debt },
  { type: 'created', key, ref: { id: 'x' } },
  { type: 'created', key, ref: { id: 'x' }, located },
  { type: 'created', key, ref: { id: 'x' }, located, reached: { facts: { b: '2' }, tookMs: 300 } },
  { type: 'queued', waiting },
  { type: 'granted' },
  { type: 'refused', reason: stockout },
  { type: 'createFailed', key, quietFromMs: 7, reason },
  { type: 'createFailed', key, quietFromMs: 7, reason: stockout },
  { type: 'located', access, facts: { a: '1' } },
  { type: 'reached', facts: { b: '2' } },
  { type: 'reached', facts: {}, hostKey: { next: 'ssh-ed25519 BBBB' } },
  { type: 'reached', facts: {}, hostKey: { rotated: { hostKey: 'ssh-ed25519 BBBB', fingerprint: 'SHA256:y' } } },
  { type: 'reached', facts: {}, hostKey: { kept: 'no root there' } },
  { type: 'stepDone' },
  { type: 'gatePassed' },
  { type: 'gatePassed', baseline: 'digest' },
  { type: 'hold', lease },
  { type: 'hold', lease: ownSteps },
  { type: 'failed', reason },
  { type: 'lost', reason },
  { type: 'marked', result: 0 },
  { type: 'marked', result: 3, message: 'no' },
  { type: 'extended', untilMs: 99_000_000 },
  { type: 'released' },
  { type: 'released', leaseId: 'a' },
  { type: 'released', leaseId: 'a', taint: 'its task is lost' },
  { type: 'leaseClosed' },
  { type: 'cancelled' },
  { type: 'judged', found: { state: 'running', reload: true, guest: 'same' } },
  { type: 'judged', found: { state: 'running', reload: false, guest: 'rebooted' } },
  { type: 'renewed', access, facts: { c: '3' }, left: [] },
  { type: 'renewed', access, facts: {}, keptKeys: true, left: [] },
  { type: 'renewed', access, facts: {}, left: ['added /etc/left'] },
  { type: 'retire', why: 'drained' },
  { type: 'expired' },
  { type: 'paid', key },
  { type: 'paid', key: 'cloud' },
  { type: 'stuck', reason },
  { type: 'forget', reason: 'the account was closed' },
  { type: 'witnessed', evidence: [{ what: 'console', generation: 1, bytes: 3 }] },
  { type: 'powering', order: { action: 'off', atMs: 5, by: 'ana' } },
  { type: 'powered' },
  { type: 'powerFailed', refused: false },
  { type: 'interrupted' },
];
const anEvent = fc.constantFrom(...events);
const anInput = fc.constantFrom(
  input,
  held,
  quotaed,
  patient,
  { ...input, plan: fakePlan() },
  pooled,
  {
    ...pooled,
    holdOnFailureMs: 60_000,
  },
  renewable('reload'),
  renewable('reset'),
);

/** The way of a machine that nothing disturbs; every phase lies on it. */
const straight: readonly MachineEvent[] = [
  { type: 'owed', debt },
  { type: 'created', key, ref: { id: 'x' } },
  { type: 'located', access, facts: {} },
  { type: 'reached', facts: {} },
  { type: 'stepDone' },
  { type: 'stepDone' },
  { type: 'gatePassed' },
  { type: 'released' },
  { type: 'stuck', reason },
  { type: 'paid', key },
];

const particular: Partial<Record<MachinePhase, MachineInput>> = {
  queued: quotaed,
  held,
  warm: pooled,
  renewing: renewable('reload'),
};
const inputFor = (phase: MachinePhase): MachineInput => particular[phase] ?? input;

const inputsFor = (phase: MachinePhase): readonly MachineInput[] => {
  if (phase === 'queued') return [quotaed, patient];
  return particular[phase] ? [inputFor(phase)] : [input, pooled, quotaed, patient];
};

function lifeIn(phase: MachinePhase, of = inputFor(phase)): MachineLife {
  let life = bornMachine(of, 0);
  let nowMs = 0;
  const failing = { type: 'failed', reason } satisfies MachineEvent;
  const holding = straight.flatMap((event): MachineEvent[] =>
    event.type === 'gatePassed' ? [event, { type: 'hold', lease }] : [event],
  );
  const undisturbed = of.pool ? holding : straight;
  const forgetting: MachineEvent = { type: 'forget', reason: 'the account was closed' };
  const way: readonly MachineEvent[] =
    phase === 'held'
      ? [...straight.slice(0, 4), failing]
      : phase === 'forgotten'
        ? [...undisturbed.slice(0, -1), forgetting]
        : undisturbed;
  const granted: readonly MachineEvent[] = [{ type: 'owed', debt: quotaDebt }, { type: 'granted' }];
  for (const event of quotaOf(of) ? [...granted, ...way, { type: 'paid', key: 'cloud' } as const] : way) {
    const owes = phase === 'queued' || phase === 'gone' ? 'quota' : 'machine';
    if (life.phase === phase && life.debts.some(({ kind }) => kind === owes)) return life;
    nowMs += 1_000;
    life = applyMachine(of, life, event, nowMs);
  }
  expect(life.phase).toBe(phase);
  return life;
}

function hold(of: MachineInput, before: MachineLife, event: MachineEvent, after: MachineLife): void {
  if (before.debts.length > after.debts.length) expect(event.type).toBe('paid');
  if (before.phase === 'gone') expect(after.phase).toBe('gone');
  if (isLeaving(before.phase)) expect(isLeaving(after.phase)).toBe(true);
  if (after.phase === 'gone') expect(after.debts).toEqual([]);
  if (isLeaving(after.phase) && before.debts.length > 0 && after.phase === 'gone') {
    expect(['reclaiming', 'stuck', 'forgotten']).toContain(before.phase);
  }
  // Only what cannot be destroyed is given up, with a reason, and what it owes stays written.
  if (after.phase === 'forgotten') {
    expect(['stuck', 'forgotten']).toContain(before.phase);
    expect(after.forgotten).toBe('the account was closed');
    expect(after.debts.map((one) => one.key)).toEqual(before.debts.map((one) => one.key));
  }
  if (!['queued', 'provisioning', 'gone'].includes(after.phase)) expect(after.debts.length).toBeGreaterThan(0);
  expect(after.debts.length).toBeLessThanOrEqual(quotaOf(of) ? 2 : 1);
  // The machine is seen gone before its part of the account is given back.
  if (after.debts.length === 2) expect(after.debts.map(({ kind }) => kind)).toEqual(['quota', 'machine']);
  if (after.waiting) expect(after.phase).toBe('queued');
  if (['waiting', 'customizing', 'readying', 'ready', 'held'].includes(after.phase)) expect(after.access).toBeDefined();
  if (after.phase === 'ready') expect(after.leaseUntilMs).toBeDefined();
  // Nobody is given a machine that two keys could answer for.
  if (!['waiting', 'held'].includes(after.phase) && !isLeaving(after.phase))
    expect(after.access?.nextHostKey).toBeUndefined();
  const endless = isLeaving(after.phase) || after.phase === 'warm' || after.phase === 'queued';
  if (!endless) expect(Number.isFinite(phaseDeadlineMs(of, after))).toBe(true);
  else expect(phaseDeadlineMs(of, after)).toBeUndefined();
  if (isLeaving(after.phase)) expect(after.cause).toBeDefined();
  if (before.cause === 'released' && before.phase !== 'renewing') expect(after.cause).toBe('released');
  // Nobody gets a machine that is not warm, and nobody gets it from whoever has it.
  if (after.phase === 'warm') expect(of.pool).toBeDefined();
  const isNext = before.phase === 'renewing' && after.phase === 'waiting';
  if (after.lease !== before.lease && !isNext) expect([before.phase, before.lease]).toEqual(['warm', undefined]);
  // What goes from one lease to the next is another generation, proven again; what is tainted only goes.
  expect(after.generation).toBe(before.generation + (isNext ? 1 : 0));
  if (isNext)
    expect([after.lease, after.cause, after.marked, event.type]).toEqual([undefined, undefined, undefined, 'renewed']);
  if (after.phase === 'renewing')
    expect([of.plan.reclaim, after.lease?.leaseId]).toEqual([expect.stringMatching(/^re/), 'a']);
  if (before.phase === 'renewing') expect(isNext || after.phase === 'renewing' || isLeaving(after.phase)).toBe(true);
  if (before.taint !== undefined) expect(after.taint).toBe(before.taint);
  // Who has it keeps it when its power tainted it; nobody else comes.
  if (after.taint !== undefined) expect(isLeaving(after.phase) || after.lease !== undefined).toBe(true);
  if (after.taint !== undefined && before.taint === undefined && !isLeaving(after.phase))
    expect(event.type).toMatch(/^power/);

  if (of.pool && after.phase === 'ready') expect(after.lease).toBeDefined();
}

describe('a machine', () => {
  test('keeps its promises in every phase at every event', () => {
    for (const phase of machineStates) {
      for (const of of inputsFor(phase)) {
        const before = lifeIn(phase, of);
        for (const event of events) hold(of, before, event, applyMachine(of, before, event, 60_000));
      }
    }
  });

  test('keeps its promises over any sequence of events, and its timeline adds up', () => {
    fc.assert(
      fc.property(anInput, fc.array(fc.tuple(anEvent, fc.nat(10_000)), { maxLength: 40 }), (of, story) => {
        let nowMs = 5_000;
        let life = bornMachine(of, nowMs);
        // The debt is recorded before anything is asked of a provider.
        const owed: readonly MachineEvent[] = quotaOf(of)
          ? [{ type: 'owed', debt: quotaDebt }, { type: 'granted' }, { type: 'owed', debt }]
          : [{ type: 'owed', debt }];
        for (const [event, lateMs] of [...owed.map((each) => [each, 0] as const), ...story]) {
          nowMs += lateMs;
          const after = applyMachine(of, life, event, nowMs);
          hold(of, life, event, after);
          life = after;
        }
        const times = timeline(life);
        expect(times.at(-1)?.durationMs).toBeUndefined();
        const whole = life.phases.reduce((sum, time) => sum + (time.durationMs ?? NaN), 0);
        expect(life.bornMs + whole).toBe(life.sinceMs);
        times.slice(1).forEach((time, n) => {
          const before = times[n];
          expect(Date.parse(time.at)).toBe(Date.parse(before?.at ?? '') + (before?.durationMs ?? NaN));
        });
      }),
      { numRuns: 500 },
    );
  });

  describe('whose guest makes a host key of its own', () => {
    const next = { type: 'reached', facts: { boot: '1' }, hostKey: { next: 'ssh-ed25519 BBBB' } } as const;
    const own = { hostKey: 'ssh-ed25519 BBBB', fingerprint: 'SHA256:y' };
    const rotated = { type: 'reached', facts: {}, hostKey: { rotated: own } } as const;
    const after = (...story: readonly MachineEvent[]): MachineLife =>
      story.reduce((life, event) => applyMachine(input, life, event, 60_000), lifeIn('waiting'));

    test('goes by both until it is proven to serve its own, and by that alone then', () => {
      expect(after(next)).toMatchObject({
        phase: 'waiting',
        facts: { boot: '1' },
        access: { ...access, nextHostKey: 'ssh-ed25519 BBBB' },
      });
      expect(after(next, rotated)).toMatchObject({ phase: 'customizing' });
      expect(after(next, rotated).access).toEqual({ ...access, ...own, pin: 'rotated' });
    });

    test('that keeps the one that it was given says why, and goes by that', () => {
      const kept = after(next, { type: 'reached', facts: {}, hostKey: { kept: 'its sshd_config has mistakes' } });
      expect(kept).toMatchObject({ phase: 'customizing', unrotated: 'its sshd_config has mistakes' });
      expect(kept.access).toEqual(access);
    });

    test('is never held for a look when something else answers', () => {
      const mismatch = { type: 'failed', reason: { type: 'HostKeyMismatch', message: 'another' } } as const;
      for (const phase of ['waiting', 'customizing', 'readying'] as const)
        expect(applyMachine(held, lifeIn(phase, held), mismatch, 60_000)).toMatchObject({ phase: 'reclaiming' });
    });

    test('is told that of its next generation anew', () => {
      const of = renewable('reload');
      const kept: MachineLife = { ...lifeIn('renewing', of), unrotated: 'no root there' };
      const found = { state: 'running', reload: true, guest: 'same' } as const;
      const decided = applyMachine(of, kept, { type: 'judged', found }, 60_000);
      const reloaded = applyMachine(of, decided, { type: 'renewed', access, facts: {}, left: [] }, 61_000);
      expect(reloaded).toMatchObject({ phase: 'waiting', generation: 2 });
      expect(reloaded.unrotated).toBeUndefined();
    });
  });

  describe('of a pool that is given back', () => {
    const back = (how: 'reload' | 'reset', ...events: readonly MachineEvent[]): MachineLife =>
      events.reduce(
        (life, event) => applyMachine(renewable(how), life, event, 100_000),
        lifeIn('ready', renewable(how)),
      );
    const released: MachineEvent = { type: 'released', leaseId: 'a' };
    const good: MachineEvent = { type: 'judged', found: { state: 'running', reload: true, guest: 'same' } };
    const renewed: MachineEvent = { type: 'renewed', access, facts: { bootId: 'new' }, left: [] };

    test('is looked at, reloaded and proven anew from its first login on', () => {
      expect(back('reload', released)).toMatchObject({ phase: 'renewing', cause: 'released', lease: { leaseId: 'a' } });
      const decided = back('reload', released, good);
      expect(decided).toMatchObject({
        phase: 'renewing',
        decision: { do: 'reload', why: 'its bundle says reclaim: reload' },
      });
      const next = back('reload', released, good, renewed);
      expect(next).toMatchObject({ phase: 'waiting', generation: 2, nextStep: 0, provingSinceMs: 100_000, uses: 1 });
      expect(next.facts['bootId']).toBe('new');
      expect(next.baseline).toBeUndefined();
    });

    test('is reset by what it remembers, and keeps what its bundle has done', () => {
      const of = renewable('reset');
      const remembering = straight
        .slice(0, 6)
        .concat({ type: 'gatePassed', baseline: 'digest' }, { type: 'hold', lease }, released, good)
        .reduce((life, event) => applyMachine(of, life, event, 50_000), bornMachine(of, 0));
      expect(remembering).toMatchObject({ phase: 'renewing', decision: { do: 'reset' }, baseline: 'digest' });
      const next = applyMachine(of, remembering, { ...renewed, keptKeys: true }, 60_000);
      expect(next).toMatchObject({ phase: 'waiting', nextStep: 2, baseline: 'digest', generation: 2, keys: 1 });
      const left = applyMachine(of, remembering, { ...renewed, left: ['a', 'b', 'c', 'd'] }, 60_000);
      expect(left).toMatchObject({
        phase: 'reclaiming',
        cause: 'tainted',
        taint: 'a reset left something of its last lease: a, b, c and 1 more',
      });
    });

    test('tells its next lease nothing that the guest of its last one said, but how its last stage ended', () => {
      const of = renewable('reset');
      const from = { key: of.key, generation: 1, source: '10.0.0.5' };
      const posts: readonly MachineEvent[] = [
        { type: 'checkedIn', post: { ...from, result: 0 } },
        { type: 'checkedIn', post: { ...from, source: '10.0.0.6', facts: { of: 'a' }, hostKeys: ['ssh-ed25519 A'] } },
      ];
      const after = (heard: readonly MachineEvent[]) =>
        [...heard, released, good, renewed].reduce<MachineLife>(
          (life, event) => applyMachine(of, life, event, 100_000),
          {
            ...lifeIn('ready', of),
            baseline: 'digest',
          },
        );
      expect(after(posts)).toMatchObject({ phase: 'waiting', generation: 2 });
      expect(after(posts).checkIn).toEqual({
        atMs: 100_000,
        source: '10.0.0.5',
        result: 0,
        posts: 0,
        facts: {},
        hostKeys: [],
      });
      expect(after(posts.slice(1)).checkIn).toBeUndefined();
    });

    test.each<[string, readonly MachineEvent[], string]>([
      ['its lease says so', [{ ...released, taint: 'its task is lost' }], 'tainted: its task is lost'],
      ['its lease closed without a word', [{ type: 'leaseClosed' }], 'tainted: lease a ended without giving it back'],
      ['its lease outlived its time', [{ type: 'expired' }], 'tainted: lease a ended without giving it back'],
      [
        'its pool is done with it',
        [{ type: 'retire', why: 'drained' }, released],
        'pool web does not want it back: drained',
      ],
      [
        'its guest has booted again',
        [released, { type: 'judged', found: { state: 'running', reload: true, guest: 'rebooted' } }],
        'tainted: the guest booted again while it was leased',
      ],
    ])('is destroyed when %s, and says why', (_, events, why) => {
      expect(back('reload', ...events)).toMatchObject({ phase: 'reclaiming', decision: { do: 'destroy', why } });
    });

    test('is destroyed when its renewal fails, when it is lost meanwhile, and when nobody wants it any more', () => {
      const failed = back('reload', released, good, { type: 'failed', reason });
      expect(failed).toMatchObject({ phase: 'reclaiming', cause: 'tainted', taint: 'never', reason });
      expect(back('reload', released, { type: 'lost', reason })).toMatchObject({ phase: 'reclaiming', cause: 'lost' });
      expect(back('reload', released, { type: 'retire', why: 'full' })).toMatchObject({ cause: 'retired' });
      expect(back('reload', released, { type: 'cancelled' })).toMatchObject({ phase: 'reclaiming' });
    });

    test('keeps only the times of its last leases', () => {
      const of = renewable('reload');
      const round = [released, good, renewed, ...straight.slice(3, 7), { type: 'hold', lease } as const];
      let life = lifeIn('ready', of);
      for (let n = 0; n < 50; n += 1) for (const event of round) life = applyMachine(of, life, event, 200_000 + n);
      expect(life).toMatchObject({ phase: 'ready', generation: 51, uses: 51 });
      expect(life.phases.length).toBeLessThan(60);
    });
  });

  test('runs on to ready when nothing disturbs it, and is gone when its debt is paid', () => {
    expect(lifeIn('ready').leaseUntilMs).toBe(7_000 + input.ttlMs + selfReclaimGraceMs);
    expect(lifeIn('gone').phases.map((time) => time.phase)).toEqual([
      'provisioning',
      'loading',
      'waiting',
      'customizing',
      'readying',
      'ready',
      'reclaiming',
      'stuck',
    ]);
  });

  test('that answers at once was in each phase as long as its look took', () => {
    const seen = { located, reached: { facts: { b: '2' }, tookMs: 300 } };
    const life = applyMachine(
      input,
      lifeIn('provisioning'),
      { type: 'created', key, ref: { id: 'x' }, ...seen },
      2_000,
    );
    expect(life).toMatchObject({ phase: 'customizing', sinceMs: 2_000, access, facts: { a: '1', b: '2' } });
    expect(life.phases.map(({ phase, durationMs }) => [phase, durationMs])).toEqual([
      ['provisioning', 1_500],
      ['loading', 200],
      ['waiting', 300],
    ]);
    // A guest that does not answer yet is waited for in its own phase; a clock that goes back ends before it began.
    const early = applyMachine(input, lifeIn('provisioning'), { type: 'created', key, ref: { id: 'x' }, located }, 1);
    expect(early).toMatchObject({ phase: 'waiting', access });
    for (const time of early.phases) expect(time.durationMs).toBeGreaterThanOrEqual(0);
  });

  test('that waits for quota has its time to ready from when it has it', () => {
    const late = applyMachine(quotaed, lifeIn('queued'), { type: 'granted' }, 3_600_000);
    expect(late).toMatchObject({ phase: 'provisioning', sinceMs: 3_600_000 });
    expect(phaseDeadlineMs(quotaed, late)).toBe(3_600_000 + quotaed.plan.limits.provisionWithinMs);
  });

  test('that is released while it waits for quota owes it until it is given back', () => {
    const leaving = applyMachine(quotaed, lifeIn('queued'), { type: 'released' }, 1);
    expect(leaving).toMatchObject({ phase: 'reclaiming', debts: [quotaDebt] });
    expect(applyMachine(quotaed, leaving, { type: 'granted' }, 2).phase).toBe('reclaiming');
    expect(applyMachine(quotaed, leaving, { type: 'paid', key: 'cloud' }, 2).phase).toBe('gone');
  });

  test('whose place has no capacity waits for it where it has no other, and fails where it has', () => {
    const failed: MachineEvent = { type: 'createFailed', key, quietFromMs: 7, reason: stockout };
    const made = { type: 'owed', debt } as const;
    const waits = applyMachine(patient, applyMachine(patient, lifeIn('provisioning', patient), made, 1), failed, 2);
    expect(waits).toMatchObject({ phase: 'queued', debts: [{ kind: 'quota' }, { kind: 'machine', quietFromMs: 7 }] });
    const again = applyMachine(patient, applyMachine(patient, waits, { type: 'granted' }, 9), made, 9);
    // Its next create is under way: absence counts from then on only.
    const late = applyMachine(patient, again, { type: 'owed', debt: { ...debt, quietFromMs: 99 } }, 9);
    expect(late.debts).toMatchObject([{ kind: 'quota' }, { kind: 'machine', quietFromMs: 99 }]);
    for (const of of [quotaed, input])
      expect(applyMachine(of, lifeIn('provisioning', of), failed, 2)).toMatchObject({ cause: 'failed' });
  });

  test('that never owed anything is gone at once when it is released', () => {
    expect(applyMachine(input, bornMachine(input, 0), { type: 'released' }, 1).phase).toBe('gone');
  });

  test('whose create won the race against its release knows what to destroy', () => {
    const left = applyMachine(input, lifeIn('provisioning'), { type: 'released' }, 10);
    const late = applyMachine(input, left, { type: 'created', key, ref: { id: 'late' } }, 20);
    expect(late).toMatchObject({ phase: 'reclaiming', debts: [{ ref: { id: 'late' }, quietFromMs: 20 }] });
  });

  test('that failed is held for a look only once it can be reached', () => {
    expect(applyMachine(held, lifeIn('loading'), { type: 'failed', reason }, 10).phase).toBe('reclaiming');
    const kept = applyMachine(held, lifeIn('waiting'), { type: 'failed', reason }, 10);
    expect(kept).toMatchObject({ phase: 'held', heldUntilMs: 60_010, reason });
    expect(applyMachine(held, kept, { type: 'expired' }, 60_010)).toMatchObject({
      phase: 'reclaiming',
      cause: 'failed',
    });
  });

  test('found by the sweep owes from the start and does nothing but pay', () => {
    const orphan = bornMachine({ ...input, reclaimOnly: { ref: { id: 'x' } } }, 0);
    expect(orphan).toMatchObject({ phase: 'reclaiming', debts: [{ key, ref: { id: 'x' } }] });
    expect(applyMachine(input, orphan, { type: 'paid', key }, 5).phase).toBe('gone');
  });

  test('that is given up in the moment in which it goes is gone', () => {
    expect(applyMachine(input, lifeIn('forgotten'), { type: 'paid', key }, 9_000)).toMatchObject({
      phase: 'gone',
      debts: [],
    });
  });

  test('has no phase whose own limit outlasts the way to ready', () => {
    for (const phase of ['provisioning', 'loading', 'waiting', 'customizing', 'readying'] as const) {
      const life = lifeIn(phase);
      expect(phaseDeadlineMs(input, life)).toBeLessThanOrEqual(life.bornMs + input.plan.limits.readyWithinMs);
    }
  });
});

describe('a pool’s machine', () => {
  const on = (life: MachineLife, ...story: MachineEvent[]): MachineLife =>
    story.reduce((so, event) => applyMachine(pooled, so, event, 100_000), life);
  const warm = lifeIn('warm');
  const hold: MachineEvent = { type: 'hold', lease };

  test('stands warm, without an end of its own, once it is proven', () => {
    expect(warm.leaseUntilMs).toBeUndefined();
    expect(phaseDeadlineMs(pooled, warm)).toBeUndefined();
    expect(holdersOf(pooled, warm)).toEqual([{ workflowId: 'pool/web', is: 'pool' }]);
  });

  test('is ready at once for a lease that brings nothing, for as long as that lease lasts', () => {
    expect(on(warm, hold)).toMatchObject({
      phase: 'ready',
      lease,
      uses: 1,
      leaseUntilMs: 100_000 + lease.ttlMs + selfReclaimGraceMs,
    });
  });

  test('goes through what its lease brings, under limits that count from the hold', () => {
    const leased = on(warm, { type: 'hold', lease: ownSteps });
    expect(leased).toMatchObject({ phase: 'customizing', nextStep: 2 });
    expect(phaseDeadlineMs(pooled, leased)).toBe(100_000 + pooled.plan.limits.customizeWithinMs);
    expect(on(leased, { type: 'stepDone' })).toMatchObject({ phase: 'customizing', nextStep: 3 });
    expect(on(leased, { type: 'stepDone' }, { type: 'stepDone' }).phase).toBe('ready');
  });

  test('is given to one lease only', () => {
    const leased = on(warm, hold);
    expect(on(leased, { type: 'hold', lease: { ...lease, leaseId: 'b' } })).toEqual(leased);
  });

  test('goes by the release of its lease, and not by that of another', () => {
    const leased = on(warm, hold);
    expect(on(leased, { type: 'released', leaseId: 'b' })).toEqual(leased);
    expect(on(warm, { type: 'released', leaseId: 'a' })).toEqual(warm);
    expect(on(leased, { type: 'released', leaseId: 'a' })).toMatchObject({ phase: 'reclaiming', cause: 'released' });
  });

  test('that is retired goes at once when nobody leases it, and never under a lease', () => {
    const retire: MachineEvent = { type: 'retire', why: 'drained' };
    expect(on(warm, retire)).toMatchObject({ phase: 'reclaiming', cause: 'retired' });
    expect(on(lifeIn('loading', pooled), retire)).toMatchObject({ phase: 'reclaiming', cause: 'retired' });
    const leased = on(warm, hold, retire);
    expect(leased).toMatchObject({ phase: 'ready', retiring: 'drained' });
    expect(on(leased, { type: 'released', leaseId: 'a' }).phase).toBe('reclaiming');
  });

  test('tells each holder what that acts on', () => {
    const [toLease, toPool] = holdersOf(pooled, on(warm, hold));
    if (!toLease || !toPool) throw new Error('two holders');
    expect([toLease, toPool]).toEqual([
      { workflowId: 'lease/a', is: 'lease' },
      { workflowId: 'pool/web', is: 'pool' },
    ]);
    const tells = (life: MachineLife) => [worthTelling(toLease, life, ''), worthTelling(toPool, life, '')];
    expect(tells(warm)).toEqual([false, true]);
    expect(tells(on(warm, hold))).toEqual([true, false]);
    expect(tells(on(warm, hold, { type: 'released', leaseId: 'a' }))).toEqual([true, true]);
    expect(tells(on(warm, hold, { type: 'lost', reason }))).toEqual([true, true]);
    expect(tells(on(warm, { type: 'hold', lease: ownSteps }, { type: 'failed', reason }))).toEqual([false, true]);
    expect(tells(on(warm, hold, { type: 'released' }, { type: 'paid', key }))).toEqual([true, true]);
  });
});

test('a machine that its provider keeps from everybody is gone, with the reason, whoever is owed besides', () => {
  const leaving = [
    { type: 'owed', debt: quotaDebt },
    { type: 'owed', debt },
    { type: 'cancelled' },
    { type: 'paid', key, takenOut: 'rack1: its reset left something' },
  ] as const;
  const life = leaving.reduce<MachineLife>(
    (before, event) => applyMachine(input, before, event, 1),
    bornMachine(input, 0),
  );
  expect(life).toMatchObject({ phase: 'reclaiming', debts: [quotaDebt], takenOut: 'rack1: its reset left something' });
  expect(applyMachine(input, life, { type: 'paid', key: 'cloud' }, 2)).toMatchObject({
    phase: 'gone',
    debts: [],
    takenOut: 'rack1: its reset left something',
  });
});
