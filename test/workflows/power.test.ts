import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Plan } from '../../src/domain/bundle.ts';
import type { MachineStatus } from '../../src/domain/lease.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { failed, refusal, update, waitReady } from './kit.ts';
import { name, poolMachines } from './pool-machine.ts';

let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench();
});
afterAll(() => bench.stop());

const { startMachine, listener, close } = poolMachines(() => bench);

const power = ({ leaseId }: Leased, body: unknown) =>
  bench.machine(leaseId).executeUpdate<MachineStatus, [unknown]>('power', { args: [body] });
const lost = { type: 'GuestLost', message: 'it is stopped' } as const;

describe.concurrent('the power of a machine', () => {
  test('is in its record with who asked and when, and what is wrong or too early is refused', async () => {
    const leased = await bench.lease({}, (world) => {
      world.hold('createMachine');
      world.hold('awaitRunning');
    });
    for (const [activity, phase] of [
      ['createMachine', 'provisioning'],
      ['awaitRunning', 'loading'],
    ] as const) {
      await leased.world.isHeld(activity);
      const early = await refusal(power(leased, { action: 'off' }));
      expect(early).toMatchObject({ type: 'InvalidRequest' });
      expect(early.message).toContain(`is ${phase}: its power is left alone in this phase`);
      leased.world.letGo(activity);
    }
    await waitReady(leased);
    expect((await refusal(power(leased, { action: 'halt', how: 1 }))).message).toContain('action');
    const status = await power(leased, { action: 'reset', by: 'ana' });
    expect(status).toMatchObject({ phase: 'ready', power: { action: 'reset', by: 'ana' } });
    expect(Date.parse(status.power?.at ?? '')).toBeGreaterThan(0);
    expect(status.power?.underWay).toBeUndefined();
    expect(leased.world.powers).toEqual([`${leased.leaseId}.1 reset`]);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('off does not make it lost; on again it is looked after as before', async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    const machine = `${leased.leaseId}.1`;
    await power(leased, { action: 'off' });
    leased.world.lost.set(machine, lost);
    const looks = leased.world.count('watchMachine');
    await until('it is watched as switched off', () => leased.world.count('watchMachine') >= looks);
    expect(await power(leased, { action: 'off' })).toMatchObject({ phase: 'ready' });
    leased.world.lost.delete(machine);
    expect(await power(leased, { action: 'on' })).toMatchObject({ phase: 'ready', power: { action: 'on' } });
    leased.world.lost.set(machine, lost);
    expect((await failed(leased)).type).toBe('GuestLost');
    await bench.over(leased);
  });

  test.each([
    { gate: 'manual' },
    { gate: 'all' },
    { gate: 'any' },
    { gate: 'all', gateParts: ['command', 'manual'] },
  ] satisfies Partial<Plan>[])('off does not make it lost before it is ready either: %o', async (gate) => {
    const leased = await bench.lease({}, (world) => {
      world.plan = fakePlan(gate);
      world.hold('awaitGate');
    });
    const { world } = leased;
    await until('it is watched', () => world.count('watchMachine') > 0);
    await power(leased, { action: 'off' });
    await until('it is watched as switched off', () => world.count('watchMachine') > 1);
    world.lost.set(`${leased.leaseId}.1`, lost);
    expect(await power(leased, { action: 'off' })).toMatchObject({ phase: 'readying' });
    world.lost.clear();
    await power(leased, { action: 'on' });
    await until('it is watched as before', () => world.count('watchMachine') > 2);
    world.letGo('awaitGate');
    await bench.machine(leased.leaseId).signal('markReady', {});
    await waitReady(leased);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('reset may be dark for as long as it takes', async () => {
    const leased = await bench.lease({}, (world) => world.hold('powerMachine'));
    const { world } = leased;
    await waitReady(leased);
    await until('it is watched', () => world.count('watchMachine') > 0);
    const asked = power(leased, { action: 'reset' });
    await world.isHeld('powerMachine');
    await until('it is watched as dark', () => world.count('watchMachine') > 1);
    world.lost.set(`${leased.leaseId}.1`, lost);
    expect(await bench.machineStatus(leased.leaseId)).toMatchObject({ phase: 'ready', power: { underWay: true } });
    world.lost.clear();
    world.letGo('powerMachine');
    expect(await asked).toMatchObject({ phase: 'ready', power: { action: 'reset' } });
    await until('it is watched as before', () => world.count('watchMachine') > 2);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('that its provider refuses is not in the record, and the next is asked for all the same', async () => {
    const leased = await bench.lease();
    await waitReady(leased);
    leased.world.faults = [{ activity: 'powerMachine', side: 'before', type: 'InvalidRequest' }];
    expect(await refusal(power(leased, { action: 'off' }))).toMatchObject({ type: 'InvalidRequest' });
    expect((await bench.machineStatus(leased.leaseId)).power).toBeUndefined();
    // Whichever of two comes first: each is done and answered as itself.
    const both = await Promise.all([power(leased, { action: 'off' }), power(leased, { action: 'on' })]);
    expect(both.map(({ power: order }) => order?.action)).toEqual(['off', 'on']);
    expect(leased.world.powers.toSorted()).toEqual([`${leased.leaseId}.1 off`, `${leased.leaseId}.1 on`]);
    await update(leased, 'release');
    await bench.over(leased);
  });

  test('is carried out before the machine is given up, so that it hits nobody else', async () => {
    const leased = await bench.lease({}, (world) => world.hold('powerMachine'));
    await waitReady(leased);
    const asked = power(leased, { action: 'reset' });
    await leased.world.isHeld('powerMachine');
    await update(leased, 'release');
    await until('it goes', async () => (await bench.machineStatus(leased.leaseId)).phase === 'reclaiming');
    expect((await refusal(power(leased, { action: 'off' }))).message).toContain('is reclaiming');
    expect(leased.world.count('destroyMachine')).toBe(0);
    leased.world.letGo('powerMachine');
    expect(await asked).toMatchObject({ power: { action: 'reset' } });
    await bench.over(leased);
    expect(leased.world.powers).toEqual([`${leased.leaseId}.1 reset`]);
    expect(await bench.machine(leased.leaseId).result()).toMatchObject({ phase: 'gone', cause: 'released' });
  });

  test('taints a machine of a pool, which nobody may switch while nobody has it', async () => {
    const pool = await listener(name('p'));
    const lease = await listener(name('l'));
    const of = name('w');
    bench.world(`pool/${of}`).plan = fakePlan({ reclaim: 'reload' });
    const { handle, status, inPhase } = await startMachine(of, pool.holder);
    await inPhase('warm');
    const asked = handle.executeUpdate('power', { args: [{ action: 'off' }] });
    expect((await refusal(asked)).message).toContain('is warm: nobody leases it');
    await handle.signal('hold', lease);
    await inPhase('ready');
    await handle.executeUpdate('power', { args: [{ action: 'reset', by: 'ana' }] });
    expect(await status()).toMatchObject({ taint: 'it was reset by ana' });
    await handle.signal('release', { leaseId: lease.leaseId });
    expect(await handle.result()).toMatchObject({ phase: 'gone' });
    await Promise.all([close(pool.leaseId), close(lease.leaseId)]);
  });
});

describe('over continue-as-new at each event', () => {
  test('a machine that is switched off stays so', async () => {
    const each = await startLeaseBench({ ...defaultTuning, continueEvery: 5 });
    try {
      const leased = await each.lease();
      await waitReady(leased);
      const machine = each.machine(leased.leaseId);
      for (const action of ['off', 'reset', 'off'])
        await machine.executeUpdate('power', { args: [{ action, by: 'ana' }] });
      leased.world.lost.set(`${leased.leaseId}.1`, lost);
      expect(await each.machineStatus(leased.leaseId)).toMatchObject({ phase: 'ready', power: { action: 'off' } });
      await update(leased, 'release');
      await each.over(leased);
      expect(await machine.result()).toMatchObject({ cause: 'released' });
    } finally {
      await each.stop();
    }
  });
});
