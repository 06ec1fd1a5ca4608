import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeaseRequest } from '../../src/domain/lease.ts';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import type { AccountQuota, QuotaAsk } from '../../src/domain/quota.ts';
import type { Tuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { askFor } from '../support/quota-ask.ts';
import { until } from '../support/until.ts';
import { failed, job, refusal, update, waitReady } from './kit.ts';

/** What every account with a quota must do, however often its workflows continue as new. */
export function quotaShapes(tuning: Tuning): void {
  let bench: LeaseBench;
  beforeAll(async () => {
    bench = await startLeaseBench(tuning);
  });
  afterAll(() => bench.stop());

  /** What the operator says, to all worlds. */
  const settings = new Map<string, AccountQuota>();

  /** An account that no other test has. */
  function account(quota: AccountQuota) {
    const name = `account-${randomUUID().slice(0, 8)}`;
    settings.set(name, quota);
    const handle = bench.client.workflow.getHandle(`quota/${name}`);
    const status = (): Promise<QuotaStatus> => handle.query<QuotaStatus>('status');
    return {
      name,
      handle,
      status,
      configure: async (now: AccountQuota): Promise<void> => {
        settings.set(name, now);
        await handle.signal('configure', { quota: now });
      },
      machines: async (): Promise<readonly string[]> => (await status()).held.map(({ machineId }) => machineId),
      waiters: async (): Promise<readonly string[]> => (await status()).waiting.map(({ machineId }) => machineId),
      lease: (request: Partial<LeaseRequest> = {}, prepare: (world: FakeWorld) => void = () => undefined) =>
        bench.lease(request, (world) => {
          world.plan = fakePlan({ quotas: [{ account: name, place: 'fake', cores: 1, memoryMb: 0 }] });
          world.quotas = settings;
          prepare(world);
        }),
      ask: (change: Partial<QuotaAsk> = {}) => askFor(bench, name, quota, change, tuning),
    };
  }
  const release = (leased: Leased) => update(leased, 'release');

  describe.concurrent('a lease of an account with a quota', () => {
    test('is given its part before anything is made, and gives it back when its machine is gone', async () => {
      const of = account({ machines: 1 });
      const leased = await of.lease({ job }, (world) => world.hold('destroyMachine'));
      await leased.handle.result();
      await leased.world.isHeld('destroyMachine');
      expect(await of.machines()).toEqual([`${leased.leaseId}.1`]);
      leased.world.letGo('destroyMachine');
      await bench.over(leased);
      expect(await of.machines()).toEqual([]);
      const { phases } = await bench.machineStatus(leased.leaseId);
      expect(phases.map(({ phase }) => phase).slice(0, 2)).toEqual(['queued', 'provisioning']);
    });

    test('waits where all of it is in use, says so, and is served when another gives back', async () => {
      const of = account({ machines: 1 });
      const first = await of.lease();
      await waitReady(first);
      const second = await of.lease();
      const waiting = {
        account: of.name,
        place: 1,
        of: 1,
        why: `account ${of.name}: 1 of 1 machines in use (unknown 1)`,
      };
      await until('it waits', async () => (await bench.status(second.leaseId)).attempts[0]?.waiting !== undefined);
      expect((await bench.status(second.leaseId)).attempts[0]).toMatchObject({ phase: 'queued', waiting });
      expect(await bench.machineStatus(second.leaseId)).toMatchObject({
        phase: 'queued',
        waiting,
        debts: [{ kind: 'quota', key: of.name }],
      });
      expect(second.world.count('createMachine')).toBe(0);
      await release(first);
      const ready = await waitReady(second);
      expect(ready).toMatchObject({ state: 'ready', attempts: [{ phase: 'ready' }] });
      expect(ready.attempts[0]?.waiting).toBe(undefined);
      await release(second);
      await Promise.all([bench.over(first), bench.over(second)]);
      expect(await of.status()).toMatchObject({ inUse: { machines: 0, cores: 0 }, waiting: [], healed: 0 });
    });

    test.each(['cancelled', 'terminated'])('that is %s while it waits leaves no place taken', async (how) => {
      const of = account({ machines: 1 });
      const first = await of.lease();
      await waitReady(first);
      const second = await of.lease();
      await until('it waits', async () => (await of.waiters().catch(() => [])).length === 1);
      const third = await of.lease();
      await until('both wait', async () => (await of.waiters()).length === 2);
      if (how === 'cancelled') await second.handle.signal('cancel', {});
      if (how === 'terminated') await bench.machine(second.leaseId).terminate('test');
      await release(first);
      expect(await waitReady(third)).toMatchObject({ state: 'ready' });
      expect(await of.machines()).toEqual([`${third.leaseId}.1`]);
      if (how === 'terminated') await second.handle.signal('cancel', {});
      await release(third);
      await Promise.all([bench.over(first), bench.over(second), bench.over(third)]);
      expect(await of.machines()).toEqual([]);
    });

    test('that wants more than there is is refused at once', async () => {
      const of = account({ cores: 4 });
      const leased = await of.lease({ job }, (world) => {
        world.plan = fakePlan({ quotas: [{ account: of.name, place: 'fake', cores: 5, memoryMb: 0 }] });
      });
      const { type, result } = await failed(leased);
      expect(type).toBe('QuotaExceeded');
      expect(result.reason?.message).toBe(
        `Machine ${leased.leaseId}.1 needs 5 cores, and account ${of.name} has 4 in all (quota.cores). Try: a smaller variant, or a larger quota in slipway.yaml.`,
      );
      expect(result.attempts).toHaveLength(1);
      await bench.over(leased);
    });

    test('goes on with its next variant when it is refused, without spending an attempt', async () => {
      const of = account({ cores: 4 });
      const leased = await of.lease({ job, attempts: 1 }, (world) => {
        world.plan = fakePlan({
          variants: ['one', 'two'],
          quotas: [{ account: of.name, place: 'one', cores: 5, memoryMb: 0 }, null],
        });
      });
      const { attempts } = await leased.handle.result();
      expect(attempts.map(({ provider }) => provider)).toEqual(['one', 'two']);
      await bench.over(leased);
    });

    test('finds its place again when the account’s workflow was terminated', async () => {
      const of = account({ machines: 1 });
      const first = await of.lease();
      await waitReady(first);
      await of.handle.terminate('test');
      await release(first);
      await bench.over(first);
      const second = await of.lease({ job });
      expect(await second.handle.result()).toMatchObject({ state: 'released' });
      await bench.over(second);
    });
  });

  describe.concurrent('two owners', () => {
    test('who race for the last core: one has it, the other waits for it', async () => {
      const of = account({ cores: 1 });
      const asks = await Promise.all(
        ['ana', 'ci'].map((owner) => of.ask({ key: owner, owner, machineId: `${owner}.1` })),
      );
      expect(asks.map(({ state }) => state).toSorted()).toEqual(['granted', 'queued']);
      await of.handle.signal('release', { key: 'ana' });
      await of.handle.signal('release', { key: 'ci' });
      expect((await of.status()).inUse.cores).toBe(0);
    });

    test('of whom one floods: the other is served next', async () => {
      const of = account({ machines: 2 });
      const flood = await Promise.all(
        Array.from({ length: 30 }, (_, n) => of.ask({ key: `f${n}`, owner: 'flood', machineId: `f${n}.1` })),
      );
      expect(flood.filter(({ state }) => state === 'granted')).toHaveLength(2);
      expect(await of.ask({ key: 'a', owner: 'ana', machineId: 'a.1' })).toMatchObject({ place: 1, of: 29 });
      const { held } = await of.status();
      expect(held.map(({ owner }) => owner)).toEqual(['flood', 'flood']);
    });
  });

  describe.concurrent('a place without capacity', () => {
    const twoPlaces = (of: ReturnType<typeof account>) =>
      fakePlan({
        variants: ['one', 'two'],
        quotas: ['one', 'two'].map((place) => ({ account: of.name, place, cores: 1, memoryMb: 0 })),
      });
    const stockout = {
      activity: 'createMachine',
      side: 'before',
      type: 'CapacityUnavailable',
      retryable: true,
    } as const;

    test('is left for the next variant at once, by this lease and by those that follow, until it has cooled down', async () => {
      const of = account({ machines: 5, coolDownMs: 600_000 });
      const first = await of.lease({ job }, (world) => {
        world.plan = twoPlaces(of);
        world.faults = [stockout];
      });
      const result = await first.handle.result();
      expect(result.attempts.map(({ provider }) => provider)).toEqual(['one', 'two']);
      expect(result.attempts[0]?.reason).toMatchObject({ type: 'CapacityUnavailable' });
      const second = await of.lease({ job, attempts: 1 }, (world) => (world.plan = twoPlaces(of)));
      const { attempts } = await second.handle.result();
      expect(attempts.map(({ provider, reason }) => [provider, reason?.type])).toEqual([
        ['one', 'CapacityUnavailable'],
        ['two', undefined],
      ]);
      expect(attempts[0]?.reason?.message).toMatch(/^Place one had no capacity: it is not asked before \d{4}-/);
      expect(second.world.count('createMachine')).toBe(1);
      await Promise.all([bench.over(first), bench.over(second)]);
      expect(await of.machines()).toEqual([]);
    });

    test('is asked again when it has cooled down', async () => {
      const of = account({ machines: 5, coolDownMs: 500 });
      await of.ask({ place: 'one' });
      await of.handle.signal('stockout', { key: 'k', place: 'one' });
      await until('it has cooled down', async () => (await of.status()).coolDowns.length === 0);
      const third = await of.lease({ job }, (world) => (world.plan = twoPlaces(of)));
      expect((await third.handle.result()).attempts.map(({ provider }) => provider)).toEqual(['one']);
      await bench.over(third);
      expect((await of.machines()).filter((id) => id !== 'none.1')).toEqual([]);
    });

    test('is waited for by a lease that has no other, which then tries again with the same machine', async () => {
      const of = account({ machines: 1, coolDownMs: 1_000 });
      const leased = await of.lease({ job, attempts: 1 }, (world) => (world.faults = [stockout]));
      const result = await leased.handle.result();
      expect(result).toMatchObject({ state: 'released', attempts: [{ machineId: `${leased.leaseId}.1` }] });
      const phases = result.attempts[0]?.phases.map(({ phase }) => phase) ?? [];
      expect(phases.slice(0, 4)).toEqual(['queued', 'provisioning', 'queued', 'provisioning']);
      await bench.over(leased);
      expect(leased.world.count('createMachine')).toBe(2);
      expect(await of.machines()).toEqual([]);
    });
  });

  describe.concurrent('the ledger of an account', () => {
    test('is corrected by what the provider holds, and never goes below nothing', async () => {
      const of = account({ machines: 2 });
      await of.ask({ key: 'gone', machineId: 'gone.1' });
      const machine = { machineId: 'x.1', leaseId: 'x', owner: 'ana', cores: 1, memoryMb: 0 };
      await of.handle.signal('release', { key: 'never' });
      await of.handle.signal('release', { key: 'never' });
      const look = { provider: 'fake', atMs: Date.now() + 60_000, closed: ['gone'] };
      await of.handle.signal('reconcile', { ...look, seen: [{ key: 'x', ...machine }] });
      expect(await of.status()).toMatchObject({
        inUse: { machines: 2 },
        held: [
          { machineId: 'gone.1', missing: true },
          { machineId: 'x.1', found: true },
        ],
        healed: 1,
      });
      await of.handle.signal('reconcile', { ...look, seen: [] });
      await of.handle.signal('reconcile', { ...look, seen: [] });
      expect(await of.status()).toMatchObject({ inUse: { machines: 0 }, held: [], healed: 3 });
    });

    test('follows a changed quota: who can be served is, who never can is told', async () => {
      const of = account({ cores: 1 });
      const [first, second] = [await of.lease(), await of.lease()];
      await until('one waits', async () => (await of.waiters().catch(() => [])).length === 1);
      await of.configure({ cores: 2 });
      await Promise.all([waitReady(first), waitReady(second)]);
      const third = await of.lease();
      await until('it waits', async () => (await of.waiters()).length === 1);
      await of.configure({ cores: 0 });
      expect((await failed(third)).type).toBe('QuotaExceeded');
      await Promise.all([release(first), release(second)]);
      await Promise.all([first, second, third].map((each) => bench.over(each)));
    });

    test('refuses at the door what it cannot read', async () => {
      const of = account({ machines: 1 });
      const wrong = await refusal(of.ask({ cores: -1, priority: 1.5 }));
      expect(wrong.type).toBe('InvalidRequest');
      for (const text of ['ask.cores', 'ask.priority']) expect(wrong.message).toContain(text);
      await of.ask();
      await of.handle.signal('release', { keys: ['k'] });
      await of.handle.signal('explode');
      expect(await of.machines()).toEqual(['none.1']);
      expect((await refusal(of.handle.executeUpdate('steal'))).message).toContain('known: reserve, takeCalls');
    });
  });

  describe.concurrent('calls', () => {
    test('are granted up to the burst, then by the rate, and not while the provider had enough', async () => {
      const of = account({});
      await of.ask();
      const take = (calls: number) =>
        of.handle.executeUpdate<{ granted: number; waitMs: number }, [unknown]>('takeCalls', {
          args: [{ calls, rate: { callsPerSecond: 0.01, burst: 5 } }],
        });
      const taken = await Promise.all([take(2), take(2), take(2)]);
      expect(taken.reduce((sum, { granted }) => sum + granted, 0)).toBe(5);
      expect((await take(1)).waitMs).toBeGreaterThan(50_000);
      await of.handle.signal('throttled', { retryAfterMs: 600_000 });
      const { granted, waitMs } = await take(1);
      expect(granted).toBe(0);
      expect(waitMs).toBeGreaterThan(600_000);
      expect((await of.status()).rate).toMatchObject({ burst: 5, callsLeft: 0 });
    });
  });
}
