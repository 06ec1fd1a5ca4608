import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { poolWorkflowId } from '../../src/domain/ids.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { createPool, pooledPlan } from '../support/pool-bench.ts';
import { until } from '../support/until.ts';
import { failed, job, refusal, steps, update, waitReady } from './kit.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

const queued = (leaseId: string) =>
  until(
    `${leaseId} waits in the queue`,
    async () => (await bench.status(leaseId).catch(() => undefined))?.queue !== undefined,
  );

describe.concurrent('a pool', () => {
  test('gives a lease a warm machine, which runs its job, and makes another', async () => {
    const pool = createPool(bench);
    await pool.declare();
    await pool.warm(2);
    const leased = await pool.lease({ job }, 0, (world) => (world.jobExit = 3));
    const result = await leased.handle.result();
    expect(result).toMatchObject({ state: 'released', job: { exitCode: 3 }, attempts: [{ provider: 'fake' }] });
    expect(result.attempts[0]?.machineId).toMatch(`${pool.name}+`);
    expect(result.attempts[0]?.phases.map(({ phase }) => phase)).toEqual(['ready', 'reclaiming']);
    expect(leased.world.machines.size).toBe(0);
    expect([...leased.world.launches.values()].map((machines) => machines.size)).toEqual([1]);
    await pool.warm(2);
    await until('the used one is gone', async () => (await pool.status()).machines.length === 2);
    expect(pool.world.machines.size).toBe(3);
    await pool.end();
  });

  test('has the lease’s own files and keys installed before it is ready', async () => {
    const pool = createPool(bench, { target: 1 });
    pool.world.plan = pooledPlan(pool.name, { steps });
    await pool.declare();
    await pool.warm(1);
    const leased = await pool.lease({}, 2);
    expect((await waitReady(leased)).state).toBe('ready');
    expect(pool.world.steps.filter(({ digest }) => digest.startsWith('o')).map(({ step }) => step)).toEqual([2, 3]);
    await update(leased, 'release');
    await leased.handle.result();
    await pool.end();
  });

  test('gives a lease another machine when its own files fail on the first, as another attempt', async () => {
    const pool = createPool(bench, { target: 1 });
    await pool.declare();
    await pool.warm(1);
    pool.world.stepFailure = { 0: 3 };
    const leased = await pool.lease({ attempts: 2 }, 1);
    const { type, result } = await failed(leased);
    expect(type).toBe('CustomizeFailed');
    expect(result.attempts.map(({ phase, failedStep }) => [phase, failedStep?.exitCode])).toEqual([
      ['gone', 3],
      ['gone', 3],
    ]);
    // It was the lease's own doing.
    expect((await pool.status()).state).toBe('open');
    await pool.end();
  });

  test('lets leases wait in the order of their coming, says their place, and makes machines up to its ceiling', async () => {
    const pool = createPool(bench, { target: 0, ceiling: 1 });
    await pool.declare();
    const first = await pool.lease();
    await waitReady(first);
    const second = await pool.lease();
    await queued(second.leaseId);
    const third = await pool.lease();
    await queued(third.leaseId);
    expect(await bench.status(third.leaseId)).toMatchObject({
      state: 'acquiring',
      queue: { pool: pool.name, place: 2 },
    });
    const { waiting, machines } = await pool.status();
    expect(waiting.map(({ leaseId, place }) => [leaseId, place])).toEqual([
      [second.leaseId, 1],
      [third.leaseId, 2],
    ]);
    expect(machines).toHaveLength(1);
    for (const leased of [first, second, third]) {
      expect((await waitReady(leased)).state).toBe('ready');
      await update(leased, 'release');
      await leased.handle.result();
    }
    expect(pool.world.machines.size).toBe(3);
    await pool.end();
  });

  test('gives its last machine to one of two owners who race for it, and the next to the other, however one floods', async () => {
    const pool = createPool(bench, { target: 1, ceiling: 1 });
    await pool.declare();
    await pool.warm(1);
    const lease = (owner: string) => pool.lease({}, 0, undefined, owner);
    const [ana, ben] = await Promise.all([lease('ana'), lease('ben')]);
    const views = () => Promise.all([ana, ben].map(({ leaseId }) => bench.status(leaseId)));
    await until(
      'one has it, and one waits',
      async () =>
        (await views())
          .map(({ state, queue }) => String(queue?.place ?? state))
          .toSorted()
          .join() === '1,ready',
    );
    const anaHasIt = (await bench.status(ana.leaseId)).state === 'ready';
    const [has, waits] = anaHasIt ? [ana, ben] : [ben, ana];
    const flood = await Promise.all([1, 2, 3].map(() => lease(anaHasIt ? 'ana' : 'ben')));
    for (const { leaseId } of flood) await queued(leaseId);
    await update(has, 'release');
    expect((await waitReady(waits)).state).toBe('ready');
    const { machines, waiting } = await pool.status();
    expect(machines.filter(({ phase }) => phase === 'leased').map(({ leaseId }) => leaseId)).toEqual([waits.leaseId]);
    expect(waiting.map(({ leaseId }) => leaseId).toSorted()).toEqual(flood.map(({ leaseId }) => leaseId).toSorted());
    for (const leased of flood) await leased.handle.signal('cancel', {});
    await update(waits, 'release');
    await pool.end();
  });

  test('forgets a lease that is cancelled in its queue', async () => {
    const pool = createPool(bench, { target: 0, ceiling: 1 });
    await pool.declare();
    const first = await pool.lease();
    await waitReady(first);
    const second = await pool.lease();
    await queued(second.leaseId);
    await second.handle.signal('cancel', {});
    expect(await second.handle.result()).toMatchObject({ state: 'cancelled', attempts: [] });
    await until('nobody waits', async () => (await pool.status()).waiting.length === 0);
    await update(first, 'release');
    await first.handle.result();
    await pool.end();
  });

  test('passes over a lease that was terminated in its queue, and leaves the machine warm', async () => {
    const pool = createPool(bench, { target: 0, ceiling: 1 });
    await pool.declare();
    const first = await pool.lease();
    await waitReady(first);
    const second = await pool.lease();
    await queued(second.leaseId);
    await second.handle.terminate('by hand');
    await pool.update('set', { target: 1 });
    await update(first, 'release');
    await first.handle.result();
    await pool.warm(1);
    expect(pool.world.machines.size).toBe(2);
    expect((await pool.status()).waiting).toEqual([]);
    await pool.end();
  });

  test('is asked within the first task of a lease, and by an activity when it does not answer at once', async () => {
    const pool = createPool(bench, { target: 2, ceiling: 2 });
    const plan = pooledPlan(pool.name, { steps });
    pool.world.plan = plan.pool ? { ...plan, pool: { ...plan.pool, atOnce: true } } : plan;
    await pool.declare();
    await pool.warm(2);
    const eventsOf = async ({ handle }: Leased) => (await handle.fetchHistory()).events ?? [];
    const scheduled = async (leased: Leased) =>
      (await eventsOf(leased)).map((event) => event.activityTaskScheduledEventAttributes?.activityType?.name);
    const askedWithin = async (leased: Leased) =>
      (await eventsOf(leased)).map((event) => {
        const data = event.markerRecordedEventAttributes?.details?.['data']?.payloads?.[0]?.data;
        return data
          ? (JSON.parse(Buffer.from(data).toString()) as { activity_type?: string }).activity_type
          : undefined;
      });

    const first = await pool.lease();
    expect(await update(first, 'waitReady')).toMatchObject({ state: 'ready', access: { user: 'root' } });
    expect(await askedWithin(first)).toContain('claimMachine');

    const second = await pool.lease({}, 0, (world) => world.hold('claimMachine'));
    await until('it asks by an activity', async () => (await scheduled(second)).includes('claimMachine'));
    second.world.letGo('claimMachine');
    expect(await update(second, 'waitReady')).toMatchObject({ state: 'ready' });

    for (const leased of [first, second]) {
      await update(leased, 'release');
      expect(await leased.handle.result()).toMatchObject({ state: 'released' });
    }
    await pool.end();
  });

  test('takes no claim of a lease that is cancelled while it asks', async () => {
    const pool = createPool(bench, { target: 1, ceiling: 1 });
    await pool.declare();
    await pool.warm(1);
    const leased = await pool.lease({}, 0, (world) => world.hold('claimMachine'));
    await leased.world.isHeld('claimMachine');
    await leased.handle.signal('cancel', {});
    expect(await leased.handle.result()).toMatchObject({ state: 'cancelled', attempts: [] });
    leased.world.letGo('claimMachine');
    const late = {
      leaseId: leased.leaseId,
      attempt: 1,
      owner: 'ana',
      priority: 0,
      digest: 'd'.repeat(64),
      ttlMs: 1000,
    };
    expect(await pool.handle.executeUpdate('claim', { args: [late] })).toMatchObject({
      state: 'none',
      why: expect.stringContaining('is over'),
    });
    expect(await pool.count('warm')).toBe(1);
    await pool.end();
  });

  test('leaves machines to their leases when it is not declared any more, and whoever waits makes its own', async () => {
    const pool = createPool(bench, { target: 0, ceiling: 1 });
    await pool.declare();
    const first = await pool.lease({ job }, 0, (world) => world.hold('followTask'));
    await first.world.isHeld('followTask');
    const second = await pool.lease();
    await queued(second.leaseId);
    await pool.handle.signal('retract', { why: 'not in slipway.yaml any more' });
    expect((await waitReady(second)).attempts).toMatchObject([{ machineId: `${second.leaseId}.1` }]);
    expect((await pool.status()).state).toBe('retracted');
    const third = await pool.lease({ job });
    expect((await third.handle.result()).attempts).toMatchObject([{ machineId: `${third.leaseId}.1` }]);
    first.world.letGo('followTask');
    expect(await first.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 0 } });
    expect(await pool.handle.result()).toMatchObject({ why: 'not in slipway.yaml any more' });
    expect(pool.world.owned()).toEqual([]);
    // Where there is no pool at all it is the same.
    const fourth = await pool.lease({ job });
    expect((await fourth.handle.result()).attempts).toMatchObject([{ machineId: `${fourth.leaseId}.1` }]);
    await update(second, 'release');
    await bench.over(second);
  });

  test('is drained by hand, and filled again when a target is set', async () => {
    const pool = createPool(bench);
    await pool.declare();
    await pool.warm(2);
    expect((await pool.update('drain', { reason: 'maintenance' })).state).toBe('draining');
    await until('drained', async () => (await pool.status()).state === 'drained');
    expect(pool.world.owned()).toEqual([]);
    expect(await refusal(pool.update('set', { target: 9 }))).toEqual({
      type: 'InvalidRequest',
      message: `Pool ${pool.name}: a target of 9 is above the ceiling of 4 machines. Try: set both, target and ceiling.`,
    });
    expect(await pool.update('set', { target: 1 })).toMatchObject({ state: 'open', target: 1, set: { target: 1 } });
    await pool.warm(1);
    await pool.end();
  });

  test('replaces its machines when its bundle has changed', async () => {
    const pool = createPool(bench);
    await pool.declare();
    await pool.warm(2);
    const before = await pool.status();
    await pool.declare({}, { plan: pooledPlan(pool.name, { bundle: { name: 'hello', digest: 'e'.repeat(64) } }, 'e') });
    await until('two others', async () => {
      const { machines } = await pool.status();
      const warm = machines.filter(({ phase }) => phase === 'warm').map(({ machineId }) => machineId);
      return warm.length === 2 && before.machines.every(({ machineId }) => !warm.includes(machineId));
    });
    await pool.end();
  });

  test('of a broken bundle fails its leases with the reason, after a few machines', async () => {
    const pool = createPool(bench, { target: 1, ceiling: 2 });
    pool.world.plan = pooledPlan(pool.name, { steps });
    pool.world.stepFailure = { 0: 100 };
    await pool.declare();
    const leased = await pool.lease();
    const { type, result } = await failed(leased);
    expect(type).toBe('CustomizeFailed');
    expect(result.reason?.message).toMatch(/Pool .* cannot make machines \(3 tries\): step 1 of 2 failed/);
    expect(result.attempts).toEqual([]);
    expect(await pool.status()).toMatchObject({ state: 'failing', reason: { type: 'CustomizeFailed' } });
    expect(pool.world.count('createMachine')).toBeLessThanOrEqual(4);
    await pool.end();
  });

  test('takes over from one of its name that was terminated, under ids of its own', async () => {
    const pool = createPool(bench);
    await pool.declare();
    await pool.warm(2);
    const used = await pool.lease({ job }, 0, (world) => world.hold('followTask'));
    await used.world.isHeld('followTask');
    await pool.handle.terminate('by hand');
    await pool.declare();
    await pool.warm(2);
    const ids = [...pool.world.machines.values()].map(({ machineId }) => machineId);
    expect(new Set(ids).size).toBe(ids.length);
    // Machines of the earlier one see that their pool is another; one on lease stays until its lease is over.
    await until('three are owned', () => pool.world.owned().length === 3);
    used.world.letGo('followTask');
    expect(await used.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 0 } });
    await until('two are owned', () => pool.world.owned().length === 2);
    await pool.end();
  });

  test('loses a queue with its life, and is asked again by who waited', async () => {
    const pool = createPool(bench, { target: 0, ceiling: 1 });
    await pool.declare();
    const first = await pool.lease();
    await waitReady(first);
    const second = await pool.lease();
    await queued(second.leaseId);
    await pool.handle.terminate('by hand');
    await pool.declare();
    expect((await waitReady(second)).attempts).toMatchObject([{ provider: 'fake' }]);
    for (const leased of [first, second]) {
      await update(leased, 'release');
      await leased.handle.result();
    }
    await pool.handle.signal('retract', { why: 'over' });
    await pool.handle.result();
    await until('nothing is owned', () => pool.world.owned().length === 0 && second.world.owned().length === 0);
  });

  test('has a machine back at once from a lease that has another and is asked for by mistake', async () => {
    const pool = createPool(bench, { target: 0, ceiling: 1 });
    await pool.declare();
    const leased = await pool.lease();
    const { attempts } = await waitReady(leased);
    await pool.handle.terminate('by hand');
    await pool.declare();
    // As a look at the queue does that was taken up before its lease had its machine.
    const late = { leaseId: leased.leaseId, attempt: 1, owner: 'unknown', priority: 0, digest: 'd'.repeat(64) };
    const answer = await pool.handle.executeUpdate('claim', { args: [{ ...late, ttlMs: 60_000 }] });
    expect(answer).toMatchObject({ state: 'queued' });
    await until('it was made', () => pool.world.machines.size === 2);
    await until('it is gone', () => pool.world.owned().length === 1);
    expect(await bench.status(leased.leaseId)).toMatchObject({ state: 'ready', attempts });
    await update(leased, 'release');
    await leased.handle.result();
    await pool.end();
  });

  test('gives a lease another machine when the one that it was promised was terminated', async () => {
    const pool = createPool(bench, { target: 2, ceiling: 2 });
    await pool.declare();
    await pool.warm(2);
    const [first] = (await pool.status()).machines;
    await bench.client.workflow.getHandle(`machine/${first?.machineId}`).terminate('by hand');
    const leased = await pool.lease();
    expect((await waitReady(leased)).state).toBe('ready');
    await update(leased, 'release');
    await leased.handle.result();
    await pool.handle.signal('retract', { why: 'over' });
    await pool.handle.result();
    // What a terminated machine owes is the sweep's.
    expect(pool.world.owned()).toEqual([first?.machineId]);
  });

  test('takes a whole queue over continue-as-new every five events', async () => {
    const pool = createPool(bench, { target: 1, ceiling: 2 });
    pool.world.tuning = { ...pool.world.tuning, continueEvery: 5 };
    await pool.declare();
    const leases = await Promise.all(Array.from({ length: 6 }, () => pool.lease({ job })));
    for (const leased of leases) expect(await leased.handle.result()).toMatchObject({ state: 'released' });
    expect((await bench.runsOf(pool.workflowId)).length).toBeGreaterThanOrEqual(3);
    await pool.end();
  });

  test('refuses to be started without a declaration, or under another id', async () => {
    const start = (workflowId: string, input: unknown) =>
      bench.client.workflow.execute('pool', { workflowId, taskQueue: bench.taskQueue, args: [input] });
    expect(await refusal(start(poolWorkflowId('nobodys'), { name: 'nobodys' }))).toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining('not declared'),
    });
    expect(await refusal(start('other', { name: 'nobodys' }))).toMatchObject({ type: 'InvalidRequest' });
    expect(await refusal(start(poolWorkflowId('x'), { name: 'A B' }))).toMatchObject({ type: 'InvalidRequest' });
    const plan = fakePlan();
    const declared = { settings: { bundle: 'hello', target: -1, ceiling: 2 }, plan, tuning: bench.world('x').tuning };
    expect(await refusal(start(poolWorkflowId('x'), { name: 'x', declared }))).toMatchObject({
      message: expect.stringContaining('declared.settings.target'),
    });
  });

  test('notes what it cannot read, and goes on', async () => {
    const pool = createPool(bench, { target: 1 });
    await pool.declare();
    await pool.handle.signal('withdraw', 'me');
    await pool.handle.signal('nonsense', {});
    await pool.handle.signal('machineReported', { state: 'warm' });
    expect(await refusal(pool.handle.executeUpdate('claim', { args: [{ leaseId: 'A' }] }))).toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining('leaseId'),
    });
    expect(await refusal(pool.update('set', { target: 1, reset: true }))).toMatchObject({ type: 'InvalidRequest' });
    await pool.warm(1);
    expect((await pool.status()).refused).toHaveLength(3);
    await pool.end();
  });
});
