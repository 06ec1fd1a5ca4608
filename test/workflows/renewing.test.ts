import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { poolWorkflowId } from '../../src/domain/ids.ts';
import type { ReclaimPolicy } from '../../src/domain/reuse.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld, Fault } from '../support/fake-world.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { steps } from './kit.ts';
import { name, poolMachines } from './pool-machine.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());
const { startMachine, listener, close } = poolMachines(() => bench);

/** A machine of a pool that may be used again, and has been leased once. */
async function leased(reclaim: ReclaimPolicy, prepare: (world: FakeWorld) => void = () => undefined) {
  const pool = await listener(name('p'));
  const one = await listener(name('l'));
  const of = name('w');
  const world = bench.world(poolWorkflowId(of));
  world.plan = fakePlan({ steps, reclaim });
  prepare(world);
  const machine = await startMachine(of, pool.holder);
  await machine.inPhase('warm');
  await machine.handle.signal('hold', one);
  await machine.inPhase('ready');
  const release = (body = {}): Promise<void> => machine.handle.signal('release', { leaseId: one.leaseId, ...body });
  const goneWith = async (end: object): Promise<void> => {
    expect(await machine.handle.result()).toMatchObject({ phase: 'gone', ...end });
    expect(world.owned()).toEqual([]);
    await Promise.all([close(pool.leaseId), close(one.leaseId)]);
  };
  return { ...machine, one, release, goneWith };
}

describe.concurrent('a machine of a pool whose lease is over', () => {
  test('is reloaded, proven again with all its steps, and serves the next lease in its next generation', async () => {
    const { world, handle, status, inPhase, release, goneWith } = await leased('reload');
    await release();
    await inPhase('warm');
    expect(world.renewals).toEqual([expect.stringMatching(/ reload 2$/)]);
    expect(world.count('runStep')).toBe(4);
    expect(world.count('takeBaseline')).toBe(0);
    expect(await status()).toMatchObject({
      leaseId: '',
      generation: 2,
      pool: { uses: 1 },
      decision: { do: 'reload', why: 'its bundle says reclaim: reload' },
    });
    const two = await listener(name('l'));
    await handle.signal('hold', two);
    await inPhase('ready');
    expect(await status()).toMatchObject({ leaseId: two.leaseId, generation: 2, pool: { uses: 2 } });
    await handle.signal('release', { leaseId: two.leaseId });
    await until('the third generation', async () => (await status()).generation === 3);
    await inPhase('warm');
    await handle.signal('retire', { why: 'drained' });
    await goneWith({ cause: 'retired' });
    await close(two.leaseId);
  });

  test('is reset by what it remembered, and its gate is passed again without its steps', async () => {
    const { world, handle, status, inPhase, release, goneWith } = await leased('reset');
    expect(world.count('takeBaseline')).toBe(1);
    await release();
    await inPhase('warm');
    expect(world.renewals).toEqual([expect.stringMatching(/ reset 2$/)]);
    expect([world.count('runStep'), world.count('takeBaseline'), world.count('awaitAccessible')]).toEqual([2, 1, 2]);
    expect(await status()).toMatchObject({ generation: 2, decision: { do: 'reset' } });
    await handle.signal('retire', { why: 'drained' });
    await goneWith({ cause: 'retired' });
  });

  test('whose reset leaves something is destroyed, and says what', async () => {
    const { world, status, release, goneWith } = await leased('reset', (fake) => (fake.left = ['added /etc/left']));
    world.hold('destroyMachine');
    await release();
    await world.isHeld('destroyMachine');
    expect(await status()).toMatchObject({
      phase: 'reclaiming',
      taint: 'a reset left something of its last lease: added /etc/left',
      decision: { do: 'reset' },
    });
    world.letGo('destroyMachine');
    await goneWith({ cause: 'tainted', reason: { type: 'CustomizeFailed' } });
    expect(world.renewals).toEqual([]);
  });

  test.each([
    ['its lease says that a task is lost', {}, { taint: 'what task a/job did is unknown' }, 'released'],
    ['its guest has booted again', { guest: 'rebooted' } as const, {}, 'tainted'],
    ['something else answers at its address', { guest: 'stranger' } as const, {}, 'tainted'],
    ['its provider does not know it any more', { state: 'absent' } as const, {}, 'tainted'],
  ])('is destroyed when %s', async (_, found, body, cause) => {
    const { world, release, goneWith } = await leased('reload', (fake) => (fake.found = found));
    await release(body);
    await goneWith({ cause });
    expect(world.renewals).toEqual([]);
  });

  test('is destroyed without a look when its bundle says so, or its pool is done with it', async () => {
    for (const [reclaim, retire] of [
      ['destroy', false],
      ['reload', true],
    ] as const) {
      const { world, handle, shows, release, goneWith } = await leased(reclaim);
      if (retire) await handle.signal('retire', { why: 'its bundle has changed' });
      await shows('it knows', ({ pool }) => !retire || pool?.retiring !== undefined);
      await release();
      await goneWith({ cause: 'released' });
      expect(world.count('inspectMachine')).toBe(0);
    }
  });

  test('is given to nobody while it is renewed, and is gone when nobody wants it meanwhile', async () => {
    const { world, handle, status, inPhase, release, goneWith } = await leased('reload', (fake) =>
      fake.hold('reloadMachine'),
    );
    await release();
    await world.isHeld('reloadMachine');
    const two = await listener(name('l'));
    await handle.signal('hold', two);
    await handle.signal('markReady', {});
    expect(await status()).toMatchObject({ phase: 'renewing', pool: { uses: 1 } });
    await handle.signal('retire', { why: 'full' });
    await goneWith({ cause: 'retired' });
    expect(world.renewals).toEqual([]);
    await Promise.all([close(two.leaseId), inPhase('gone')]);
  });

  // Each activity that fails before and after its effect, once and for good, is a cell of the saga kit.
  test('that its provider does not have any more when it should be reloaded goes away at once', async () => {
    const fault: Fault = { activity: 'reloadMachine', side: 'before', retryable: false, type: 'Gone' };
    const { world, release, goneWith } = await leased('reload', (fake) => (fake.faults = [fault]));
    await release();
    await goneWith({ cause: 'tainted', reason: { type: 'Gone' } });
    expect(world.count('reloadMachine')).toBe(1);
  });

  test('with every activity delivered twice is renewed once', async () => {
    const { world, handle, status, release, inPhase, goneWith } = await leased('reload', (fake) => (fake.twice = true));
    await release();
    await until('its next generation', async () => (await status()).generation === 2);
    await inPhase('warm');
    expect(world.renewals).toHaveLength(1);
    await handle.signal('retire', { why: 'enough' });
    await goneWith({ cause: 'retired' });
  });

  test('is renewed over runs that continue as new', async () => {
    const { world, handle, status, release, inPhase, goneWith } = await leased('reset', (fake) => {
      fake.tuning = { ...defaultTuning, continueEvery: 5 };
    });
    await release();
    await until('its next generation', async () => (await status()).generation === 2);
    await inPhase('warm');
    expect(world.renewals).toHaveLength(1);
    await handle.signal('retire', { why: 'enough' });
    await goneWith({ cause: 'retired' });
  });
});
