import { describe, expect } from 'vitest';
import type { LeaseStatus } from '../../src/domain/lease.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { Leased } from '../support/lease-bench.ts';
import { hourMs, minuteMs, missing, timed } from '../support/timed.ts';
import { until } from '../support/until.ts';
import { failed, job, refusal, steps, update, waitReady } from './kit.ts';

const stateOf = async ({ handle }: Leased): Promise<LeaseStatus['state']> =>
  (await handle.query<LeaseStatus>('status')).state;
const isClosed =
  ({ handle }: Leased) =>
  async (): Promise<boolean> =>
    (await handle.describe()).status.name !== 'RUNNING';
/** A timer is never early; the workflow acts soon after. */
function expectAbout(ms: number, expectedMs: number): void {
  expect(ms).toBeGreaterThanOrEqual(expectedMs);
  expect(ms).toBeLessThan(expectedMs + 10_000);
}
const msOf = (iso: string | undefined): number => Date.parse(iso ?? '');

describe.skipIf(missing)('with a clock that skips', () => {
  timed('a lease of eight hours expires after eight hours, and not before', async ({ time }) => {
    const { bench, lease, skip, skipTo } = time;
    const leased = await lease({ ttlMs: 8 * hourMs });
    const { times } = await waitReady(leased);
    await skip(8 * hourMs - minuteMs);
    expect(await stateOf(leased)).toBe('ready');
    await skipTo(2 * minuteMs, 'the end', isClosed(leased));
    const result = await leased.handle.result();
    expect(result.state).toBe('expired');
    expectAbout(msOf(result.times.releasing) - msOf(times.ready), 8 * hourMs);
    await bench.over(leased);
  });

  timed('a lease that is extended, and extended again, expires at its last time', async ({ time }) => {
    const { bench, lease, skip, skipTo } = time;
    const leased = await lease({ ttlMs: hourMs });
    const { times } = await waitReady(leased);
    await skip(30 * minuteMs);
    await update(leased, 'extend', { byMs: hourMs });
    await skip(hourMs);
    expect(await stateOf(leased)).toBe('ready');
    await update(leased, 'extend', { untilMs: msOf(times.ready) + 5 * hourMs });
    const refused = await refusal(update(leased, 'extend', { byMs: 24 * hourMs }));
    expect(refused.type).toBe('InvalidRequest');
    await skip(3 * hourMs);
    expect(await stateOf(leased)).toBe('ready');
    await skipTo(hourMs + minuteMs, 'the end', isClosed(leased));
    const result = await leased.handle.result();
    expect(result.state).toBe('expired');
    expectAbout(msOf(result.times.releasing) - msOf(times.ready), 5 * hourMs);
    await bench.over(leased);
  });

  timed('a lease that expires in the middle of its job stops the job first', async ({ time }) => {
    const { bench, lease, skip, skipTo } = time;
    const leased = await lease({ job, ttlMs: hourMs }, (world) => world.naps.set('followTask', minuteMs));
    await waitReady(leased);
    await skip(59 * minuteMs);
    expect(await stateOf(leased)).toBe('working');
    await skipTo(5 * minuteMs, 'the end', isClosed(leased));
    expect(await leased.handle.result()).toMatchObject({ state: 'expired', job: { cancelled: true, exitCode: 143 } });
    await bench.over(leased);
  });

  timed(
    'a machine whose lease was terminated while nobody watched reclaims itself, two minutes later',
    async ({ time }) => {
      const { bench, lease, skip, skipTo } = time;
      const leased = await lease({ ttlMs: hourMs });
      const { times } = await waitReady(leased);
      await leased.handle.terminate('by hand');
      await skip(hourMs + minuteMs);
      expect(await bench.machineStatus(leased.leaseId)).toMatchObject({ phase: 'ready' });
      const machine = bench.machine(leased.leaseId);
      await skipTo(3 * minuteMs, 'the end of the machine', () => bench.isClosed(machine.workflowId));
      expect(await machine.result()).toMatchObject({ phase: 'gone', cause: 'expired' });
      const { phases } = await bench.machineStatus(leased.leaseId);
      const ready = phases.find((phase) => phase.phase === 'ready');
      expect(msOf(ready?.at) + (ready?.durationMs ?? 0)).toBeGreaterThanOrEqual(
        msOf(times.expires) + 2 * minuteMs - 1_000,
      );
      await bench.over(leased);
    },
  );

  timed('a lease that may wait half an hour for its machine fails after half an hour', async ({ time }) => {
    const { bench, lease, skip, skipTo } = time;
    const limits = { ...fakePlan().limits, readyWithinMs: 5 * hourMs };
    const leased = await lease({ acquireWithinMs: 30 * minuteMs }, (world) => {
      world.plan = fakePlan({ gate: 'manual', limits });
    });
    await skip(29 * minuteMs);
    expect(await stateOf(leased)).toBe('acquiring');
    await skipTo(2 * minuteMs, 'the end', isClosed(leased));
    const { type, result } = await failed(leased);
    expect(type).toBe('GuestNeverReady');
    expectAbout(msOf(result.times.releasing) - msOf(result.times.requested), 30 * minuteMs);
    await bench.over(leased);
  });

  timed('a machine that is held after its failure is given back when that time is over', async ({ time }) => {
    const { bench, lease, skip, skipTo } = time;
    const leased = await lease({ attempts: 1, holdOnFailureMs: 2 * hourMs }, (world) => {
      world.plan = fakePlan({ steps });
      world.stepFailure = { 0: 1 };
    });
    expect((await waitReady(leased)).state).toBe('held');
    await skip(hourMs);
    expect(await stateOf(leased)).toBe('held');
    await skipTo(hourMs + minuteMs, 'the end', isClosed(leased));
    expect((await failed(leased)).type).toBe('CustomizeFailed');
    await bench.over(leased);
  });

  const phases = [
    { phase: 'provisioning', of: 'createMachine', limit: 'provisionWithinMs', type: 'CapacityUnavailable' },
    { phase: 'loading', of: 'awaitRunning', limit: 'loadWithinMs', type: 'ProviderUnavailable' },
    { phase: 'waiting', of: 'awaitAccessible', limit: 'accessWithinMs', type: 'GuestNeverReady' },
    { phase: 'customizing', of: 'runStep', limit: 'customizeWithinMs', type: 'GuestNeverReady' },
    { phase: 'readying', of: 'awaitGate', limit: 'readyWithinMs', type: 'GuestNeverReady' },
  ] as const;
  timed.for(phases)(
    'a machine that stays in $phase is given up at its limit',
    async ({ phase, of, limit, type }, { time }) => {
      const { bench, lease, skipTo } = time;
      const napMs = 10_000;
      const leased = await lease({ attempts: 1 }, (world) => {
        world.plan = fakePlan({ steps, gate: 'command' });
        world.naps.set(of, napMs);
      });
      const limitMs = leased.world.plan.limits[limit];
      await skipTo(limitMs + minuteMs, 'the end', isClosed(leased));
      const end = await failed(leased);
      expect(end.type).toBe(type);
      expect(end.result.reason?.message).toMatch(/Last: .* has no answer.* Try: slipway provider check fake/);
      const spent = end.result.attempts[0]?.phases.find((one) => one.phase === phase);
      expect(spent?.durationMs).toBeLessThanOrEqual(limitMs + 1_000);
      expect(spent?.durationMs).toBeGreaterThanOrEqual(limitMs - 2 * napMs);
      await bench.over(leased);
    },
  );

  timed('a manual gate that nobody opens is given up with the whole way to ready', async ({ time }) => {
    const { bench, lease, skipTo } = time;
    const leased = await lease({ attempts: 1 }, (world) => (world.plan = fakePlan({ gate: 'manual' })));
    await skipTo(leased.world.plan.limits.readyWithinMs + minuteMs, 'the end', isClosed(leased));
    const { type, result } = await failed(leased);
    expect(type).toBe('GuestNeverReady');
    expect(result.reason?.message).toMatch(/was not marked ready within \d{3} s of readying/);
    await bench.over(leased);
  });

  timed.for(['now', 'forGood'] as const)(
    'a stuck machine is tried every five minutes for ever (%s)',
    async (how, { time }) => {
      const { bench, lease, skip, skipTo } = time;
      const leased = await lease({ job }, (world) => (world.destroyable = how));
      const { world } = leased;
      expect(await leased.handle.result()).toMatchObject({ state: 'released' });
      // Ten minutes of tries, then it is stuck.
      await skip(12 * minuteMs);
      await until('stuck', async () => (await bench.machineStatus(leased.leaseId)).phase === 'stuck');
      const before = world.count('destroyMachine');
      await skip(5 * hourMs);
      const tries = world.count('destroyMachine') - before;
      expect(tries).toBeGreaterThanOrEqual(58);
      expect(tries).toBeLessThanOrEqual(62);
      expect(await bench.machineStatus(leased.leaseId)).toMatchObject({ phase: 'stuck', debts: [{}] });
      world.destroyable = true;
      await skipTo(6 * minuteMs, 'the end', () => world.owned().length === 0);
      await bench.over(leased);
    },
  );

  timed('a task that outlives its limit and its wrapper is stopped by its workflow', async ({ time }) => {
    const { bench, lease, skip, skipTo } = time;
    const leased = await lease({ job: { ...job, limitMs: hourMs, graceMs: 5_000 }, ttlMs: 3 * hourMs }, (world) =>
      world.naps.set('followTask', minuteMs),
    );
    await waitReady(leased);
    await skip(hourMs);
    expect(leased.world.count('killTask')).toBe(0);
    await skip(16_000);
    expect(leased.world.count('killTask')).toBe(1);
    await skipTo(2 * minuteMs, 'the end', isClosed(leased));
    expect(await leased.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 143 } });
    await bench.over(leased);
  });

  timed(
    'a task whose guest hears no kill is lost half a minute after its grace, and the machine goes',
    async ({ time }) => {
      const { bench, lease, skip, skipTo, nowMs } = time;
      const leased = await lease({ job: { ...job, graceMs: 20_000 } }, (world) => {
        world.naps.set('followTask', 1_000);
        world.naps.set('killTask', 5_000);
      });
      await waitReady(leased);
      await until('the follow', () => leased.world.count('followTask') > 0);
      const atMs = await nowMs();
      await leased.handle.signal('cancel');
      await skip(45_000);
      expect(await stateOf(leased)).toBe('releasing');
      await skipTo(10_000, 'the end', isClosed(leased));
      const result = await leased.handle.result();
      expect(result).toMatchObject({ state: 'cancelled', job: { state: 'lost', cancelled: true, exitCode: null } });
      expect(msOf(result.times.ended) - atMs).toBeGreaterThanOrEqual(50_000);
      await bench.over(leased);
    },
  );
});
