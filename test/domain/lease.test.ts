import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Reason } from '../../src/domain/failure.ts';
import type { LeaseRequest } from '../../src/domain/lease.ts';
import { attemptsSpent, isLastPlace } from '../../src/domain/lease-attempts.ts';
import { applyLease, bornLease, type LeaseEvent, type LeaseLife } from '../../src/domain/lease-life.ts';
import {
  attemptsOf,
  leaseDeadlineMs,
  leaseResultOf,
  leaseStateOf,
  leaseStatusOf,
  nextLeaseAction,
  openTasks,
} from '../../src/domain/lease-next.ts';
import type { MachineReport } from '../../src/domain/machine-report.ts';
import type { ClaimAnswer } from '../../src/domain/pool.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { fakeResult } from '../support/fake-result.ts';

const plan = fakePlan({ variants: ['one', 'two'], attempts: 3 });
const request: LeaseRequest = { leaseId: 'web', bundle: 'hello' };
const jobRequest: LeaseRequest = { ...request, job: { command: ['true'] } };
const collecting: LeaseRequest = { ...jobRequest, collect: ['~/out'] };
const access = { machineId: 'web.1', address: '::1', port: 22, user: 'root', hostKey: 'k', fingerprint: 'f' };
const never: Reason = { type: 'GuestNeverReady', message: 'never' };
const report = (
  machineId: string,
  state: MachineReport['state'],
  rest: Partial<MachineReport> = {},
): MachineReport => ({
  machineId,
  key: 'k',
  state,
  phases: [],
  ...(state === 'ready' ? { access } : {}),
  ...rest,
});
const says = (machineId: string, state: MachineReport['state'], rest: Partial<MachineReport> = {}): LeaseEvent => ({
  type: 'machineReported',
  report: report(machineId, state, rest),
});

const poolFacts = { provider: 'one', birth: 'run', generation: 1, uses: 1, leaseId: 'web' };
const warm = { key: 'k', access, facts: { ...poolFacts, uses: 0 } };

function after(of: LeaseRequest, ...events: readonly LeaseEvent[]): LeaseLife {
  return events.reduce((life, event, n) => applyLease(life, event, 1_000 * (n + 1)), bornLease(of, 0));
}

const resolved: LeaseEvent = { type: 'resolved', plan };
const pooled: LeaseEvent = {
  type: 'resolved',
  plan: { ...plan, pool: { name: 'warm', digest: 'base', steps: plan.steps.length } },
};
const started = (n: number): LeaseEvent => ({ type: 'machineStarted', machineId: `web.${n}`, provider: 'one' });
const ready = [resolved, started(1), says('web.1', 'ready', { leaseUntilMs: 9 })] as const;

/** What holds at every step, whatever happened. */
function hold(before: LeaseLife, now: LeaseLife): void {
  expect(attemptsSpent(now)).toBeLessThanOrEqual(Math.max(attemptsOf(now), attemptsSpent(before)));
  if (before.ending) expect(now.ending).toMatchObject({ state: before.ending.state, sinceMs: before.ending.sinceMs });
  if (before.readyMs !== undefined) expect(now.readyMs).toBe(before.readyMs);
  if (before.expiresMs !== undefined) expect(now.expiresMs).toBeGreaterThanOrEqual(before.expiresMs);
  for (const task of before.tasks) {
    const same = now.tasks.filter((other) => other.taskId === task.taskId);
    expect(same.length).toBe(1);
    if (task.result) expect(same[0]?.result).toEqual(task.result);
  }
  for (const task of now.tasks) expect(task.phase === 'ended').toBe(task.result !== undefined);
  leaseStatusOf(now);
  leaseResultOf(now);
}

const reasons: readonly Reason[] = [
  never,
  { type: 'CapacityUnavailable', message: 'full' },
  { type: 'HostKeyMismatch', message: 'other key' },
];
const aReport = fc.record({
  machineId: fc.constantFrom('web.1', 'web.2', 'web.9'),
  state: fc.constantFrom<MachineReport['state']>('loading', 'ready', 'held', 'reclaiming', 'stuck', 'gone'),
  accepted: fc.boolean(),
  reason: fc.constantFrom(...reasons),
});
const anEvent: fc.Arbitrary<LeaseEvent> = fc.oneof(
  fc.constantFrom<LeaseEvent>(
    resolved,
    started(1),
    started(2),
    { type: 'machineClosed', machineId: 'web.1', reason: never },
    { type: 'taskAsked', taskId: 'a', spec: { command: ['true'] } },
    { type: 'taskStarted', taskId: 'a' },
    { type: 'taskStarted', taskId: 'job' },
    { type: 'taskEnded', result: fakeResult('a', ['true'], 0) },
    { type: 'taskEnded', result: fakeResult('job', ['true'], 3) },
    { type: 'taskClosed', taskId: 'a', message: 'closed' },
    { type: 'taskClosed', taskId: 'job', message: 'closed' },
    { type: 'taskTold', taskId: 'job', what: 'cancel' },
    { type: 'collectStarted' },
    { type: 'collected', files: [{ path: '~/out', reason: never }] },
    { type: 'releaseAsked' },
    { type: 'extensionTold', untilMs: 5 },
    { type: 'extended', untilMs: 50_000_000, updateId: 'u' },
    { type: 'end', state: 'released' },
    { type: 'end', state: 'cancelled' },
    { type: 'end', state: 'cancelled', byTemporal: true },
    { type: 'deadline' },
    { type: 'ended' },
    { type: 'refused', text: 'no' },
    pooled,
    { type: 'claimAsked', attempt: 1 },
    { type: 'claimAnswered', attempt: 1, answer: { state: 'granted', machineId: 'warm+1', provider: 'one' } },
    { type: 'claimAnswered', attempt: 1, answer: { state: 'granted', machineId: 'warm+2', provider: 'one' } },
    { type: 'claimAnswered', attempt: 1, answer: { state: 'granted', machineId: 'warm+1', provider: 'one', warm } },
    { type: 'claimAnswered', attempt: 1, answer: { state: 'granted', machineId: 'warm+2', provider: 'one', warm } },
    { type: 'claimAnswered', attempt: 1, answer: { state: 'queued', place: 3 } },
    { type: 'claimAnswered', attempt: 1, answer: { state: 'none', why: 'drained' } },
    { type: 'claimAnswered', attempt: 1, answer: { state: 'failed', reason: never } },
    { type: 'withdrawTold' },
    { type: 'strayReleased', machineId: 'warm+2' },
    says('warm+1', 'ready', { pool: poolFacts }),
    says('warm+2', 'ready', { pool: poolFacts }),
    says('warm+2', 'held', { pool: poolFacts }),
  ),
  aReport.map(({ accepted, ...rest }): LeaseEvent => ({
    type: 'machineReported',
    report: { ...rest, key: 'k', phases: [], ...(accepted ? { accepted } : {}) },
  })),
);

/** A world that does what a lease asks, in any order, and after `choices` ends fairly. */
class World {
  life: LeaseLife;
  nowMs = 0;
  machine:
    { id: string; state: 'making' | 'ready' | 'held' | 'reclaiming'; released: boolean; pooled?: boolean } | undefined;
  /** What the pool owes an answer to. */
  claim: { attempt: number; state: 'asked' | 'queued' | 'granted' } | undefined;
  private granted = 0;
  readonly running = new Map<string, 'running' | 'cancelled' | 'lost'>();
  collecting = false;
  finished = false;

  private readonly resolved: LeaseEvent;

  constructor(of: LeaseRequest, resolvedTo: LeaseEvent) {
    this.resolved = resolvedTo;
    this.life = bornLease(of, 0);
  }

  apply(event: LeaseEvent): void {
    const before = this.life;
    this.life = applyLease(before, event, this.nowMs);
    hold(before, this.life);
  }

  /** As the workflow's main loop does. */
  act(): void {
    for (let n = 0; n < 200; n += 1) {
      const action = nextLeaseAction(this.life);
      if (!action) return;
      switch (action.do) {
        case 'resolve':
          this.apply(this.resolved);
          break;
        case 'claim':
          this.apply({ type: 'claimAsked', attempt: action.attempt });
          this.claim = { attempt: action.attempt, state: 'asked' };
          break;
        case 'withdraw':
          this.apply({ type: 'withdrawTold' });
          // The pool takes back what it gave and the lease has not heard of.
          this.claim = undefined;
          this.machine = undefined;
          break;
        case 'startMachine':
          this.apply({ type: 'machineStarted', machineId: action.machineId, provider: 'one' });
          this.machine = { id: action.machineId, state: 'making', released: false };
          break;
        case 'startTask':
          this.apply({ type: 'taskStarted', taskId: action.task.taskId });
          expect(this.running.has(action.task.taskId)).toBe(false);
          this.running.set(action.task.taskId, 'running');
          break;
        case 'tellTask':
          this.apply({ type: 'taskTold', taskId: action.taskId, what: action.what });
          if (this.running.has(action.taskId))
            this.running.set(action.taskId, action.what === 'lost' ? 'lost' : 'cancelled');
          else this.apply({ type: 'taskClosed', taskId: action.taskId, message: 'closed' });
          break;
        case 'collect':
          expect(this.collecting).toBe(false);
          this.apply({ type: 'collectStarted' });
          this.collecting = true;
          break;
        case 'releaseMachine':
          expect(this.collecting).toBe(false);
          this.apply({ type: 'releaseAsked' });
          if (this.machine?.id === action.machineId) this.machine.released = true;
          else this.apply({ type: 'machineClosed', machineId: action.machineId, reason: never });
          break;
        case 'releaseStray':
          this.apply({ type: 'strayReleased', machineId: action.machineId });
          break;
        case 'extendMachine':
          this.apply({ type: 'extensionTold', untilMs: action.untilMs });
          break;
        case 'tellReady':
          expect(this.life.readyTold).toBeUndefined();
          // What is to run runs already.
          expect(this.life.tasks.every(({ phase }) => phase !== 'accepted')).toBe(true);
          this.apply({ type: 'readyTold' });
          break;
        case 'finish':
          // Whoever wants to be told was told that it was ready, if it was.
          expect(this.life.readyTold).toBe(
            this.life.request.notify && this.life.readyMs !== undefined ? true : undefined,
          );
          // Tasks were over first, and the machine has heard of its release or has ended.
          expect(openTasks(this.life)).toEqual([]);
          expect(this.collecting).toBe(false);
          expect(this.life.ending).toBeDefined();
          if (this.life.machine && !['ended', 'asked'].includes(this.life.machine.phase) && !this.life.machine.promised)
            expect(this.life.machine.accepted).toBe(true);
          this.finished = true;
          this.apply({ type: 'ended' });
          return;
      }
    }
    throw new Error('The lease acts for ever');
  }

  /** What the pool may answer, also after it has answered. */
  private claimOptions(people: boolean): (() => void)[] {
    const { claim } = this;
    if (!claim) return [];
    const { attempt } = claim;
    const grant =
      (heard: boolean, asItStands = false) =>
      (): void => {
        claim.state = 'granted';
        this.granted += 1;
        this.machine = { id: `warm+${this.granted}`, state: 'making', released: false, pooled: true };
        // Else the machine is the first to say so.
        const granted = { state: 'granted', machineId: this.machine.id, provider: 'one' } as const;
        if (heard) this.answer(attempt, { ...granted, ...(asItStands ? { warm } : {}) });
      };
    const none = (): void => {
      this.claim = undefined;
      this.answer(attempt, { state: 'none', why: 'drained' });
    };
    const confirmed = this.life.machine?.phase !== 'asked' && !this.life.machine?.promised;
    if (claim.state === 'granted') {
      // One that was lost before the lease had it is granted anew.
      return people && !confirmed && this.machine?.state === 'making' ? [grant(true), grant(true, true)] : [];
    }
    const queued = (): void => {
      claim.state = 'queued';
      this.answer(attempt, { state: 'queued', place: 2 });
    };
    return [
      grant(true),
      grant(true, true),
      grant(false),
      none,
      ...(claim.state === 'asked' ? [queued] : []),
      ...(people ? [() => ((this.claim = undefined), this.answer(attempt, { state: 'failed', reason: never }))] : []),
    ];
  }

  private answer(attempt: number, answer: ClaimAnswer): void {
    this.apply({ type: 'claimAnswered', attempt, answer });
  }

  /** What may happen now: by the machine, the tasks, the clock, and (until it must end) by people. */
  options(people: boolean): (() => void)[] {
    const options: (() => void)[] = this.claimOptions(people);
    const { machine } = this;
    if (machine) {
      const { id } = machine;
      const says = (
        machineId: string,
        state: MachineReport['state'],
        rest: Partial<MachineReport> = {},
      ): LeaseEvent => ({
        type: 'machineReported',
        report: report(machineId, state, { ...rest, ...(machine.pooled ? { pool: poolFacts } : {}) }),
      });
      const gone = (why: Reason) => () => {
        this.machine = undefined;
        this.apply(says(id, 'gone', { reason: why }));
      };
      if (machine.released) {
        options.push(() => {
          this.machine = undefined;
          this.apply(says(id, 'reclaiming', { accepted: true }));
        });
      } else if (machine.state === 'making') {
        options.push(
          () => {
            machine.state = 'ready';
            this.apply(says(id, 'ready', { leaseUntilMs: this.nowMs }));
          },
          ...reasons.map(gone),
        );
        if (people)
          options.push(() => {
            machine.state = 'held';
            this.apply(says(id, 'held', { reason: never }));
          });
      } else options.push(gone(never));
      // A lease looks at the machines that it knows of.
      if (people && this.life.machine?.machineId === id)
        options.push(() => {
          this.machine = undefined;
          this.apply({ type: 'machineClosed', machineId: id, reason: never });
        });
      if (people) {
        options.push(
          () => {
            machine.state = 'reclaiming';
            this.apply(says(id, 'reclaiming', { reason: never }));
          },
          () => this.apply(says(id, 'stuck', { reason: never })),
        );
      }
    }
    if (this.collecting)
      options.push(() => {
        this.collecting = false;
        this.apply({ type: 'collected', files: [{ path: '~/out', reason: never }] });
      });
    for (const [taskId, state] of this.running) {
      options.push(() => {
        this.running.delete(taskId);
        this.apply(
          state === 'running'
            ? { type: 'taskEnded', result: fakeResult(taskId, ['true'], this.nowMs % 2) }
            : { type: 'taskClosed', taskId, message: state },
        );
      });
    }
    const at = leaseDeadlineMs(this.life);
    if (at !== undefined && Number.isFinite(at))
      options.push(() => {
        this.nowMs = Math.max(this.nowMs, at);
        this.apply({ type: 'deadline' });
      });
    if (people) {
      options.push(
        () => this.apply({ type: 'end', state: 'released' }),
        () => this.apply({ type: 'end', state: 'cancelled', byTemporal: true }),
        () => this.apply({ type: 'taskAsked', taskId: `t${this.nowMs}`, spec: { command: ['true'] } }),
        () => this.apply({ type: 'extended', untilMs: this.nowMs + 10_000, updateId: 'u' }),
      );
    }
    return options;
  }
}

describe('a lease', () => {
  test('keeps its promises over any sequence of events', () => {
    fc.assert(
      fc.property(
        fc.constantFrom(request, jobRequest, collecting),
        fc.array(anEvent, { maxLength: 40 }),
        (of, story) => {
          let life = bornLease(of, 0);
          story.forEach((event, n) => {
            // The loop starts a machine only where it decided so.
            if (event.type === 'machineStarted' && nextLeaseAction(life)?.do !== 'startMachine') return;
            if (event.type === 'claimAsked' && nextLeaseAction(life)?.do !== 'claim') return;
            if (event.type === 'collectStarted' && nextLeaseAction(life)?.do !== 'collect') return;
            if (event.type === 'collected' && !life.collecting) return;
            const next = applyLease(life, event, (n + 1) * 1_000);
            hold(life, next);
            life = next;
          });
        },
      ),
      { numRuns: 1_000 },
    );
  });

  test('comes to its end in any fair world, and never waits for nothing', () => {
    const requests = [
      request,
      jobRequest,
      { ...jobRequest, holdAfterJobMs: 5_000, holdOnFailureMs: 9_000 },
      { ...request, acquireWithinMs: 20_000, ttlMs: 60_000, attempts: 2 },
      { ...collecting, holdOnFailureMs: 9_000 },
      { ...request, collect: ['~/out'] },
      { ...jobRequest, notify: { url: 'https://ci.example.com/', secret: 'hook' } },
    ];
    const ends = new Set<string>();
    const choosing = fc.array(fc.nat(1_000), { maxLength: 30 });
    fc.assert(
      fc.property(fc.constantFrom(...requests), fc.constantFrom(resolved, pooled), choosing, (of, plan, choices) => {
        const world = new World(of, plan);
        world.act();
        let n = 0;
        for (; !world.finished; n += 1) {
          expect(n).toBeLessThan(200);
          // Nobody to hear from and no deadline: a dead end. A lease that is ready without a job has its deadline.
          const free = world.options(false);
          expect(free.length).toBeGreaterThan(0);
          const options = n < choices.length ? world.options(true) : free;
          world.nowMs += 1;
          options[(choices[n] ?? n) % options.length]?.();
          world.act();
        }
        const { state } = leaseResultOf(world.life);
        expect(leaseStateOf(world.life)).toBe(state);
        ends.add(state);
      }),
      { numRuns: 1_500 },
    );
    expect([...ends].sort()).toEqual(['cancelled', 'expired', 'failed', 'released']);
  });

  describe('of a bundle with a pool', () => {
    const claim: LeaseEvent = { type: 'claimAsked', attempt: 1 };
    const answer = (answer: ClaimAnswer, attempt = 1): LeaseEvent => ({ type: 'claimAnswered', attempt, answer });
    const given = (machineId: string): LeaseEvent => answer({ state: 'granted', machineId, provider: 'one' });
    const asItStands = (machineId: string): LeaseEvent =>
      answer({ state: 'granted', machineId, provider: 'one', warm });
    const comes = (machineId: string): LeaseEvent => says(machineId, 'ready', { leaseUntilMs: 9, pool: poolFacts });

    test('asks the pool first, and makes its own machine when that has none', () => {
      expect(nextLeaseAction(after(request, pooled))).toEqual({ do: 'claim', attempt: 1, last: false });
      expect(nextLeaseAction(after(request, pooled, claim))).toBeUndefined();
      const none = after(request, pooled, claim, answer({ state: 'none', why: 'drained' }));
      expect(nextLeaseAction(none)).toMatchObject({ do: 'startMachine', machineId: 'web.1' });
    });

    test('says its place while it waits, and takes the machine that it is given then', () => {
      const queued = after(request, pooled, claim, answer({ state: 'queued', place: 3, estimateMs: 40_000 }));
      expect(leaseStatusOf(queued)).toMatchObject({
        state: 'acquiring',
        queue: { pool: 'warm', place: 3, estimateMs: 40_000 },
      });
      const granted = applyLease(queued, given('warm+7'), 9_000);
      expect(leaseStatusOf(granted)).not.toHaveProperty('queue');
      expect(granted.attempts).toMatchObject([{ machineId: 'warm+7', provider: 'one' }]);
      expect(leaseStatusOf(applyLease(granted, comes('warm+7'), 9_500)).state).toBe('ready');
    });

    test('is ready as soon as the machine says so, also before the pool has', () => {
      const life = after(request, pooled, claim, comes('warm+1'));
      expect(leaseStateOf(life)).toBe('ready');
      expect(life.machine?.facts).toMatchObject({ birth: 'run', key: 'k' });
      expect(applyLease(life, given('warm+1'), 9_000)).toEqual(life);
      expect(applyLease(life, answer({ state: 'queued', place: 1 }), 9_000)).toEqual(life);
    });

    test('is ready by its pool’s word when it has nothing to install, and tells the machine nothing before that has spoken', () => {
      const life = after(jobRequest, pooled, claim, asItStands('warm+1'));
      expect(leaseStatusOf(life)).toMatchObject({ state: 'working', access: warm.access });
      expect(nextLeaseAction(life)).toMatchObject({ do: 'startTask' });
      const idle = after(request, pooled, claim, asItStands('warm+1'), {
        type: 'extended',
        untilMs: 50_000_000,
        updateId: 'u',
      });
      expect(nextLeaseAction(idle)).toBeUndefined();
      const spoken = applyLease(idle, comes('warm+1'), 9_000);
      expect(spoken.readyMs).toBe(idle.readyMs);
      expect(nextLeaseAction(spoken)).toMatchObject({ do: 'extendMachine' });
    });

    test('is given back by its pool when it ends before its machine has spoken', () => {
      const ending = after(request, pooled, claim, asItStands('warm+1'), { type: 'end', state: 'released' });
      expect(nextLeaseAction(ending)).toEqual({ do: 'withdraw', attempt: 1 });
      expect(nextLeaseAction(applyLease(ending, { type: 'withdrawTold' }, 9_000))).toEqual({ do: 'finish' });
      const spoken = applyLease(ending, comes('warm+1'), 9_000);
      expect(nextLeaseAction(spoken)).toEqual({ do: 'releaseMachine', machineId: 'warm+1' });
    });

    test('has lost its machine when its pool promises another before that has spoken', () => {
      const life = after(request, pooled, claim, asItStands('warm+1'), asItStands('warm+2'));
      expect(life.ending).toMatchObject({ state: 'failed', reason: { type: 'GuestLost' } });
      expect(nextLeaseAction(life)).toEqual({ do: 'withdraw', attempt: 1 });
    });

    test('takes the second machine that it is given, when the first never came, as one attempt', () => {
      const life = after(request, pooled, claim, given('warm+1'), given('warm+2'), comes('warm+2'));
      expect(life.attempts.map(({ machineId }) => machineId)).toEqual(['warm+2']);
      expect(leaseStateOf(life)).toBe('ready');
    });

    test('asks again, as another attempt, when the machine fails it before it is ready', () => {
      const failed = says('warm+1', 'gone', { reason: never, pool: poolFacts });
      expect(nextLeaseAction(after(request, pooled, claim, given('warm+1'), failed))).toEqual({
        do: 'claim',
        attempt: 2,
        last: false,
      });
    });

    test('gives back whatever comes beside the machine that it has, once, also when it ends', () => {
      const has = after(request, pooled, claim, given('warm+1'), comes('warm+1'));
      const other = applyLease(has, comes('warm+2'), 9_000);
      expect(other.machine?.machineId).toBe('warm+1');
      expect(nextLeaseAction(other)).toEqual({ do: 'releaseStray', machineId: 'warm+2' });
      expect(nextLeaseAction(applyLease(other, { type: 'end', state: 'released' }, 9_100))).toMatchObject({
        machineId: 'warm+2',
      });
      const released = applyLease(other, { type: 'strayReleased', machineId: 'warm+2' }, 9_200);
      expect(nextLeaseAction(released)).toBeUndefined();
      const accepts = says('warm+2', 'reclaiming', { accepted: true, pool: poolFacts });
      expect(nextLeaseAction(applyLease(released, accepts, 9_300))).toBeUndefined();
      // Its own machine, and one that comes for another lease, are no such ones.
      expect(nextLeaseAction(applyLease(has, comes('warm+1'), 9_000))).toBeUndefined();
      const others = says('warm+2', 'ready', { pool: { ...poolFacts, leaseId: 'db' } });
      expect(nextLeaseAction(applyLease(has, others, 9_000))).toBeUndefined();
    });

    test('fails with the pool’s reason when the pool can make none', () => {
      const life = after(request, pooled, claim, answer({ state: 'failed', reason: never }));
      expect(life.ending).toMatchObject({ state: 'failed', reason: never });
      expect(nextLeaseAction(life)).toEqual({ do: 'finish' });
    });

    test('that ends takes its claim back, and gives back only a machine that has come', () => {
      const cancel: LeaseEvent = { type: 'end', state: 'cancelled' };
      for (const way of [[claim], [claim, answer({ state: 'queued', place: 1 })], [claim, given('warm+1')]]) {
        const ending = after(request, pooled, ...way, cancel);
        expect(nextLeaseAction(ending)).toEqual({ do: 'withdraw', attempt: 1 });
        expect(nextLeaseAction(applyLease(ending, { type: 'withdrawTold' }, 9_000))).toEqual({ do: 'finish' });
      }
      const had = after(request, pooled, claim, given('warm+1'), comes('warm+1'), cancel);
      expect(nextLeaseAction(had)).toEqual({ do: 'releaseMachine', machineId: 'warm+1' });
    });
  });

  test('tells that it is ready once, after its job has begun', () => {
    const notify = { url: 'https://ci.example.com/hook/t0ken', secret: 'hook' };
    const life = after({ ...jobRequest, notify }, ...ready);
    expect(nextLeaseAction(life)).toMatchObject({ do: 'startTask' });
    const working = applyLease(life, { type: 'taskStarted', taskId: 'job' }, 9_000);
    expect(nextLeaseAction(working)).toEqual({ do: 'tellReady' });
    expect(nextLeaseAction(applyLease(working, { type: 'readyTold' }, 9_000))).toBeUndefined();
    // The path may hold a token.
    expect(leaseStatusOf(working).notify).toEqual({ to: 'https://ci.example.com' });
  });

  test('whose machine never gets ready takes a new one, as often as it may', () => {
    const first = after(request, resolved, started(1), says('web.1', 'gone', { reason: never }));
    expect(nextLeaseAction(first)).toMatchObject({ do: 'startMachine', machineId: 'web.2', last: false });
    const second = after(
      { ...request, attempts: 2 },
      resolved,
      started(1),
      says('web.1', 'gone', { reason: never }),
      started(2),
      says('web.2', 'gone', { reason: never }),
    );
    expect(second.ending).toMatchObject({ state: 'failed', reason: never });
    expect(nextLeaseAction(second)).toEqual({ do: 'finish' });
  });

  test('goes on to the next variant after a failure of the place only', () => {
    const full: Reason = { type: 'CapacityUnavailable', message: 'full' };
    expect(after(request, resolved, started(1), says('web.1', 'gone', { reason: full })).variant).toBe(1);
    expect(after(request, resolved, started(1), says('web.1', 'gone', { reason: never })).variant).toBe(0);
    const round = after(
      request,
      resolved,
      started(1),
      says('web.1', 'gone', { reason: full }),
      started(2),
      says('web.2', 'gone', { reason: full }),
    );
    expect(round.variant).toBe(0);
  });

  const quotas = ['one', 'two'].map((place) => ({ account: 'cloud', place, cores: 1, memoryMb: 0 }));
  const quotaed: LeaseEvent = { type: 'resolved', plan: { ...plan, quotas } };
  const queued = { phase: 'queued', at: '2026-01-01T00:00:00.000Z' } as const;
  const turnedAway = (n: number, type: Reason['type'] = 'CapacityUnavailable'): readonly LeaseEvent[] => [
    started(n),
    says(`web.${n}`, 'gone', { reason: { type, message: 'no' }, phases: [queued, { ...queued, phase: 'gone' }] }),
  ];

  test('spends no attempt where its account turned it away, and waits at the last place that there is', () => {
    const once = after({ ...request, attempts: 1 }, quotaed, ...turnedAway(1));
    expect([once.ending, once.variant, attemptsSpent(once), isLastPlace(once)]).toEqual([undefined, 1, 0, true]);
    expect(nextLeaseAction(once)).toEqual({ do: 'startMachine', machineId: 'web.2', last: true });
    const tried = after({ ...request, attempts: 2 }, quotaed, ...turnedAway(1), started(2));
    expect([attemptsSpent(tried), tried.attempts[1]?.phase]).toEqual([1, 'queued']);
  });

  test('ends when every place has turned it away', () => {
    const all = after(request, quotaed, ...turnedAway(1, 'QuotaExceeded'), ...turnedAway(2, 'QuotaExceeded'));
    expect(all.ending).toMatchObject({ state: 'failed', reason: { type: 'QuotaExceeded' } });
  });

  test('says what it waited for when it waited too long', () => {
    const waiting = { account: 'cloud', place: 3, of: 9, why: 'account cloud: 8 of 8 cores in use (ci 8)' };
    const asked = { ...request, acquireWithinMs: 60_000 };
    const life = after(asked, quotaed, started(1), says('web.1', 'queued', { phases: [queued], waiting }));
    expect(leaseStatusOf(life).attempts[0]).toMatchObject({ phase: 'queued', waiting });
    expect(applyLease(life, { type: 'deadline' }, 60_000).ending?.reason?.message).toBe(
      'Lease web was not ready within 60 s (acquireWithinMs): it waited for quota, place 3 of 9, account cloud: 8 of 8 cores in use (ci 8).',
    );
    const served = applyLease(life, says('web.1', 'provisioning'), 1_000);
    expect(leaseStatusOf(served).attempts[0]?.waiting).toBe(undefined);
  });

  test('ends at once when another machine would fail alike', () => {
    const reason: Reason = { type: 'HostKeyMismatch', message: 'another key' };
    const life = after(request, resolved, started(1), says('web.1', 'gone', { reason }));
    expect(life.ending).toMatchObject({ state: 'failed', reason });
  });

  test('asks for the next machine when the first is stuck, and still tells when that is gone', () => {
    const stuck = after(request, resolved, started(1), says('web.1', 'stuck', { reason: never }), started(2));
    expect(stuck.attempts.map((attempt) => attempt.phase)).toEqual(['stuck', 'provisioning']);
    const paid = applyLease(stuck, says('web.1', 'gone', { reason: never }), 9_000);
    expect(paid.attempts.map((attempt) => attempt.phase)).toEqual(['gone', 'provisioning']);
    expect(paid.machine).toEqual(stuck.machine);
  });

  test('fails when its job is lost, whoever tells it first', () => {
    const lost = after(
      jobRequest,
      ...ready,
      { type: 'taskStarted', taskId: 'job' },
      {
        type: 'taskClosed',
        taskId: 'job',
        message: 'machine web.1 is lost',
      },
    );
    expect(lost.ending).toMatchObject({ state: 'failed', reason: { type: 'GuestLost' } });
    const gone = after(jobRequest, ...ready, { type: 'taskStarted', taskId: 'job' }, says('web.1', 'reclaiming'));
    expect(gone.ending).toMatchObject({ state: 'failed', reason: { type: 'GuestLost' } });
  });

  test('that was held after its failure stays failed when it is given back', () => {
    const held = after(request, resolved, started(1), says('web.1', 'held', { reason: never }));
    expect(leaseStateOf(held)).toBe('held');
    expect(applyLease(held, { type: 'end', state: 'released' }, 9).ending).toMatchObject({
      state: 'failed',
      reason: never,
    });
  });

  test('tells its tasks to stop before it gives its machine back', () => {
    const ending = after(
      jobRequest,
      ...ready,
      { type: 'taskStarted', taskId: 'job' },
      {
        type: 'end',
        state: 'cancelled',
      },
    );
    expect(nextLeaseAction(ending)).toEqual({ do: 'tellTask', taskId: 'job', what: 'cancel' });
    const told = applyLease(ending, { type: 'taskTold', taskId: 'job', what: 'cancel' }, 9_000);
    expect(nextLeaseAction(told)).toBeUndefined();
    const silent = applyLease(told, { type: 'deadline' }, leaseDeadlineMs(told) ?? 0);
    expect(silent.tasks[0]?.result).toMatchObject({ state: 'lost', cancelled: true });
    expect(nextLeaseAction(silent)).toEqual({ do: 'releaseMachine', machineId: 'web.1' });
  });

  test('does not start what was accepted after it had to end', () => {
    const life = after(
      request,
      ...ready,
      { type: 'taskAsked', taskId: 'a', spec: { command: ['true'] } },
      {
        type: 'end',
        state: 'released',
      },
    );
    expect(life.tasks[0]?.result).toMatchObject({ state: 'cancelled', exitCode: null, reason: 'never started' });
  });

  test('keeps its machine after the job for as long as it was asked', () => {
    const done = (of: LeaseRequest, exitCode: number): LeaseLife =>
      after(
        of,
        ...ready,
        { type: 'taskStarted', taskId: 'job' },
        {
          type: 'taskEnded',
          result: fakeResult('job', ['true'], exitCode),
        },
      );
    expect(done({ ...jobRequest, holdOnFailureMs: 60_000 }, 0).ending?.state).toBe('released');
    expect(done({ ...jobRequest, holdOnFailureMs: 60_000 }, 1).heldUntilMs).toBe(65_000);
    const held = done({ ...jobRequest, holdAfterJobMs: 60_000 }, 0);
    expect(leaseStateOf(held)).toBe('held');
    expect(applyLease(held, { type: 'deadline' }, 65_000).ending?.state).toBe('released');
  });

  test('keeps a long command only until the task has it', () => {
    const spec = { command: ['sh', '-c', 'x'.repeat(10_000)] };
    const life = after(
      request,
      ...ready,
      { type: 'taskAsked', taskId: 'a', spec },
      {
        type: 'taskStarted',
        taskId: 'a',
      },
    );
    expect(JSON.stringify(life.tasks).length).toBeLessThan(1_000);
  });
});
