import { describe, expect } from 'vitest';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import type { AccountQuota } from '../../src/domain/quota.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { askFor } from '../support/quota-ask.ts';
import { hourMs, minuteMs, missing, timed, type Time } from '../support/timed.ts';
import { until } from '../support/until.ts';
import { failed, job, update, waitReady } from './kit.ts';

const account = 'cloud';
const within =
  (quota: AccountQuota) =>
  (world: FakeWorld): void => {
    world.plan = fakePlan({ quotas: [{ account, place: 'fake', cores: 1, memoryMb: 0 }] });
    world.quotas = new Map([[account, quota]]);
  };
const statusOf = ({ client }: Time): Promise<QuotaStatus> =>
  client.workflow.getHandle(`quota/${account}`).query<QuotaStatus>('status');
const oneWaits = (time: Time) => async (): Promise<boolean> =>
  (await statusOf(time).catch(() => undefined))?.waiting.length === 1;

describe.skipIf(missing)('with a clock that skips', () => {
  timed(
    'a lease waits for quota for eight hours, at no event, and has its whole time to ready then',
    async ({ time }) => {
      const { bench, lease, skip, nowMs } = time;
      const first = await lease({ ttlMs: 24 * hourMs }, within({ machines: 1 }));
      await waitReady(first);
      const second = await lease({ ttlMs: 24 * hourMs }, within({ machines: 1 }));
      await until('it waits', oneWaits(time));
      await until(
        'it is known to wait',
        async () => (await bench.status(second.leaseId)).attempts[0]?.waiting !== undefined,
      );
      const events = async () =>
        (await bench.runsOf(`machine/${second.leaseId}.1`)).flatMap((run) => run.events ?? []).length;
      const before = await events();
      await skip(8 * hourMs);
      expect(await events()).toBe(before);
      expect(second.world.count('awaitQuota')).toBeGreaterThan(400);
      second.world.hold('awaitAccessible');
      await update(first, 'release');
      await second.world.isHeld('awaitAccessible');
      const machine = await bench.machineStatus(second.leaseId);
      expect(Date.parse(machine.deadline ?? '') - (await nowMs())).toBeGreaterThan(minuteMs);
      second.world.letGo('awaitAccessible');
      const { attempts } = await waitReady(second);
      expect(attempts[0]?.phases[0]).toMatchObject({ phase: 'queued' });
      expect(attempts[0]?.phases[0]?.durationMs).toBeGreaterThan(8 * hourMs);
      await update(second, 'release');
      await bench.over(first);
      await bench.over(second);
      expect((await statusOf(time)).inUse.machines).toBe(0);
    },
  );

  timed('a lease whose time to get a machine is over while it waits says what it waited for', async ({ time }) => {
    const { bench, lease, skipTo } = time;
    const first = await lease({ ttlMs: 24 * hourMs }, within({ machines: 1 }));
    await waitReady(first);
    const second = await lease({ acquireWithinMs: hourMs }, within({ machines: 1 }));
    await until(
      'it is known to wait',
      async () => (await bench.status(second.leaseId)).attempts[0]?.waiting !== undefined,
    );
    await skipTo(2 * hourMs, 'its end', async () => (await second.handle.describe()).status.name !== 'RUNNING');
    const { result } = await failed(second);
    expect(result.reason?.message).toBe(
      `Lease ${second.leaseId} was not ready within 3600 s (acquireWithinMs): it waited for quota, place 1 of 1, account cloud: 1 of 1 machines in use (unknown 1).`,
    );
    await until('it gave its place back', async () => (await statusOf(time)).waiting.length === 0);
    await update(first, 'release');
    await bench.over(first);
  });

  timed(
    'a place without capacity is asked again after a quarter of an hour, by the one that waits for it',
    async ({ time }) => {
      const { bench, lease, skip, skipTo } = time;
      const leased = await lease({ job }, (world) => {
        within({ coolDownMs: 15 * minuteMs })(world);
        const stockout = {
          activity: 'createMachine',
          side: 'before',
          type: 'CapacityUnavailable',
          retryable: true,
        } as const;
        world.faults = [...world.faults, stockout];
      });
      await until('it waits', oneWaits(time));
      expect((await statusOf(time)).waiting[0]?.why).toContain('Place fake had no capacity: it is not asked before');
      await skip(11 * minuteMs);
      expect(leased.world.count('createMachine')).toBe(1);
      await skipTo(15 * minuteMs, 'its end', async () => (await leased.handle.describe()).status.name !== 'RUNNING');
      expect(await leased.handle.result()).toMatchObject({ state: 'released', attempts: [{ provider: 'fake' }] });
      expect(leased.world.count('createMachine')).toBe(2);
      await bench.over(leased);
    },
  );

  timed('the account’s workflow ends when it has had nothing to keep for a while', async ({ time }) => {
    await askFor(time, account, {}, { key: 'a' });
    const handle = time.client.workflow.getHandle(`quota/${account}`);
    await time.skip(hourMs);
    expect((await handle.describe()).status.name).toBe('RUNNING');
    await handle.signal('release', { key: 'a' });
    await time.skip(minuteMs);
    expect((await handle.describe()).status.name).toBe('COMPLETED');
  });
});
