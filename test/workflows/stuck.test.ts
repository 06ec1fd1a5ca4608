import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { attribute } from '../../src/contract/attributes.ts';
import type { MachinePhase, MachineStatus } from '../../src/domain/lease.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { failed, job, refusal, waitReady } from './kit.ts';

const stuckRetryMs = 400;
let bench: LeaseBench;
beforeAll(async () => {
  bench = await startLeaseBench({ ...defaultTuning, reclaimWithinMs: 600, stuckRetryMs });
});
afterAll(() => bench.stop());

const machineIs = ({ leaseId }: Leased, phase: MachinePhase) =>
  until(`machine ${phase}`, async () => (await bench.machineStatus(leaseId).catch(() => undefined))?.phase === phase);

test('a machine that is not stuck is not given up', async () => {
  const leased = await bench.lease();
  await waitReady(leased);
  const life = bench.machine(leased.leaseId);
  const refused = await refusal(life.executeUpdate('forget', { args: [{ reason: 'I do not like it' }] }));
  expect(refused).toMatchObject({ type: 'InvalidRequest' });
  expect(refused.message).toContain('is ready, not stuck');
  await leased.handle.signal('cancel');
  await bench.over(leased);
});

describe.concurrent.each(['now', 'forGood'] as const)('a machine that cannot be destroyed (%s)', (how) => {
  test('before it was ready is stuck, its lease is told and fails, and it is gone as soon as it can be', async () => {
    const leased = await bench.lease({ job, attempts: 1 }, (world) => {
      world.destroyable = how;
      world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
    });
    const { result } = await failed(leased);
    expect(result.attempts).toMatchObject([{ phase: 'stuck' }]);
    const stuck = await bench.machineStatus(leased.leaseId);
    expect(stuck).toMatchObject({ phase: 'stuck', debts: [{ kind: 'machine' }] });
    expect(stuck.reason?.message).toContain('cannot be destroyed now');
    leased.world.destroyable = true;
    await bench.over(leased);
    expect(await bench.machine(leased.leaseId).result()).toMatchObject({ phase: 'gone' });
  });

  test('after its lease was released is stuck, and is tried again at its own pace for ever', async () => {
    const leased = await bench.lease({ job }, (world) => (world.destroyable = how));
    expect(await leased.handle.result()).toMatchObject({ state: 'released' });
    await machineIs(leased, 'stuck');
    const before = leased.world.count('destroyMachine');
    const sinceMs = Date.now();
    await until('three more tries', () => leased.world.count('destroyMachine') >= before + 3);
    expect(Date.now() - sinceMs).toBeGreaterThanOrEqual(2 * stuckRetryMs - 50);
    leased.world.destroyable = true;
    await bench.over(leased);
  });

  test('does not keep the lease from its next machine, and is shown as gone when it is', async () => {
    const leased = await bench.lease({}, (world) => {
      world.destroyable = how;
      world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
    });
    const ready = await waitReady(leased);
    expect(ready.attempts.map((attempt) => attempt.phase)).toEqual(['stuck', 'ready']);
    expect(leased.world.owned()).toHaveLength(2);
    leased.world.destroyable = true;
    await until('gone', async () => (await bench.status(leased.leaseId)).attempts[0]?.phase === 'gone');
    expect((await bench.status(leased.leaseId)).state).toBe('ready');
    await leased.handle.signal('cancel');
    await bench.over(leased);
  });

  test('is given up by a person only with a reason, keeps what it owes in its record, and is tried no more', async () => {
    const leased = await bench.lease({}, (world) => {
      world.destroyable = how;
      world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
    });
    const { world, leaseId } = leased;
    await machineIs(leased, 'stuck');
    const life = bench.machine(leaseId);
    const forget = (body: unknown) => life.executeUpdate<MachineStatus, [unknown]>('forget', { args: [body] });
    for (const body of [undefined, {}, { reason: '  ' }, { reason: 'x', more: 1 }])
      expect(await refusal(forget(body))).toMatchObject({ type: 'InvalidRequest' });
    expect((await bench.machineStatus(leaseId)).phase).toBe('stuck');
    expect(await forget({ reason: 'the account was closed' })).toMatchObject({
      phase: 'forgotten',
      forgotten: 'the account was closed',
      debts: [{ kind: 'machine' }],
    });
    const [made] = world.machines.keys();
    const debts = [{ kind: 'machine', key: made, ref: { id: made } }];
    expect(await life.result()).toMatchObject({
      phase: 'forgotten',
      forgotten: { reason: 'the account was closed', debts },
    });
    // What the sweep knows it by, without asking the workflow.
    const { memo, typedSearchAttributes } = await life.describe();
    expect(memo).toEqual({ key: made, forgotten: 'the account was closed' });
    expect(typedSearchAttributes.get(attribute.state)).toBe('forgotten');
    await until('told', async () => (await bench.status(leaseId)).attempts[0]?.phase === 'forgotten');
    expect(world.owned()).toContain(`${leaseId}.1`);
    world.destroyable = true;
    await leased.handle.signal('cancel');
    await leased.handle.result();
    await until('only the one given up is left', () => world.owned().join() === `${leaseId}.1`);
  });

  test('still accepts a release that comes while it is tried, so that its lease can end', async () => {
    const leased = await bench.lease({}, (world) => {
      world.destroyable = how;
      world.hold('destroyMachine');
      world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
    });
    await leased.world.isHeld('destroyMachine');
    // Both arrive at about one time, in whichever order.
    const told = leased.handle.signal('cancel');
    leased.world.letGo('destroyMachine');
    await told;
    await leased.handle.result().catch(() => undefined);
    leased.world.destroyable = true;
    await bench.over(leased);
  });
});
