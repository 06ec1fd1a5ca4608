import { describe, expect } from 'vitest';
import type { PoolStatus } from '../../src/domain/pool-status.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { createPool, pooledPlan } from '../support/pool-bench.ts';
import { hourMs, minuteMs, missing, timed, type Time } from '../support/timed.ts';
import { until } from '../support/until.ts';
import { failed, steps, waitReady } from './kit.ts';

const dayMs = 24 * hourMs;
const timezone = 'Europe/Berlin';

/** How far the wall clock there is ahead of UTC. */
function offsetMs(atMs: number): number {
  const parts = new Intl.DateTimeFormat('en', { timeZone: timezone, timeZoneName: 'longOffset' }).formatToParts(atMs);
  const [, sign, hours, minutes] = /GMT(?:([+-])(\d\d):(\d\d))?/.exec(
    parts.find(({ type }) => type === 'timeZoneName')?.value ?? '',
  ) ?? ['', '+', '0', '0'];
  return (sign === '-' ? -1 : 1) * (Number(hours ?? 0) * hourMs + Number(minutes ?? 0) * minuteMs);
}

/** The instant at which the wall clock there shows this hour, on the day of the instant. */
function wallClock(dayOfMs: number, hour: number): number {
  const local = dayOfMs + offsetMs(dayOfMs);
  const wanted = local - (local % dayMs) + hour * hourMs;
  const guess = wanted - offsetMs(dayOfMs);
  return wanted - offsetMs(guess);
}

/** Midnight (UTC) of the first day after the instant on which the wall clock is changed. */
function nextClockChange(afterMs: number): number {
  let day = afterMs - (afterMs % dayMs) + dayMs;
  while (offsetMs(day) === offsetMs(day + dayMs)) day += dayMs;
  return day;
}

function poolIn({ bench, client, taskQueue, worldOf }: Time, settings: Parameters<typeof createPool>[1]) {
  const pool = createPool({ ...bench, client, taskQueue, world: worldOf }, settings);
  // A running activity would hold the clock: the watches get no answer, for as long as this lasts.
  pool.world.naps.set('watchMachine', 60 * dayMs);
  pool.world.naps.set('watchChildren', 60 * dayMs);
  return pool;
}

describe.skipIf(missing)('with a clock that skips, a pool', () => {
  timed(
    'keeps to its schedule by the clock on the wall for thirty days, with a change of the clock among them',
    { timeout: 300_000 },
    async ({ time }) => {
      const { skip, nowMs } = time;
      const change = nextClockChange(await nowMs());
      // Ten days before the clock is changed.
      await skip(wallClock(change - 10 * dayMs, 0) + hourMs / 2 - (await nowMs()));
      const pool = poolIn(time, {
        target: 1,
        ceiling: 5,
        schedule: [{ cron: '0 8 * * *', until: '0 18 * * *', timezone, target: 2 }],
      });
      await pool.declare();
      const offsets = new Set<number>();
      for (let day = 0; day < 30; day += 1) {
        const now = await nowMs();
        offsets.add(offsetMs(now));
        const at = async (hour: number, target: number, nextHour: number): Promise<PoolStatus> => {
          await skip(Math.max(1, wallClock(now, hour) - (await nowMs())));
          const next = new Date(wallClock(now, nextHour)).toISOString();
          let status = await pool.status();
          await until(`day ${day}, ${hour} o'clock: ${target} warm, then a change at ${next}`, async () => {
            status = await pool.status();
            const warm = status.machines.filter(({ phase }) => phase === 'warm').length;
            return status.target === target && warm === target && status.machines.length === target;
          });
          expect(status.nextChange).toBe(next);
          return status;
        };
        await at(3, 1, 8);
        await at(12, 2, 18);
        await skip(wallClock(now, 23) + hourMs + hourMs / 2 - (await nowMs()));
      }
      expect(offsets.size).toBe(2);
      // One to begin with, and one each day for the hours of work.
      expect(pool.world.count('createMachine')).toBe(31);
      await pool.end();
    },
  );

  timed('replaces its machines at their idle age, for thirty days', async ({ time }) => {
    const pool = poolIn(time, { target: 2, ceiling: 4, idleMs: 3 * dayMs });
    await pool.declare();
    await pool.warm(2);
    for (let day = 0; day < 30; day += 1) {
      await time.skip(dayMs);
      await until(`day ${day}: two young machines`, async () => {
        const { machines } = await pool.status();
        const now = await time.nowMs();
        const young = machines.filter(({ since }) => now - Date.parse(since) <= 3 * dayMs);
        return young.length === 2 && machines.length === 2 && machines.every(({ phase }) => phase === 'warm');
      });
    }
    expect(pool.world.count('createMachine')).toBeGreaterThanOrEqual(18);
    expect(pool.world.count('createMachine')).toBeLessThanOrEqual(22);
    await pool.end();
  });

  timed('of a broken bundle makes some sixty machines on its first day, not one after the other', async ({ time }) => {
    const pool = poolIn(time, { target: 2, ceiling: 4 });
    pool.world.plan = pooledPlan(pool.name, { steps });
    pool.world.stepFailure = { 0: 1 };
    await pool.declare();
    await until('it fails', async () => (await pool.status()).state === 'failing');
    await time.skip(dayMs);
    const made = pool.world.count('createMachine');
    expect(made).toBeGreaterThanOrEqual(50);
    expect(made).toBeLessThanOrEqual(62);
    expect(await pool.status()).toMatchObject({ state: 'failing', reason: { type: 'CustomizeFailed' } });
    await until('the last of them is gone', async () => (await pool.status()).machines.length === 0);
    await pool.end();
  });

  timed('loses a lease from its queue that may wait no longer', async ({ time }) => {
    const pool = poolIn(time, { target: 0, ceiling: 1 });
    await pool.declare();
    const patient = (world: FakeWorld): void => void world.naps.set('watchClaim', 60 * dayMs);
    const has = await pool.lease({}, 0, patient);
    await waitReady(has);
    const waits = await pool.lease({ acquireWithinMs: 30 * minuteMs }, 0, patient);
    await until('it waits', async () => (await time.bench.status(waits.leaseId)).queue?.place === 1);
    await time.skip(29 * minuteMs);
    expect((await time.bench.status(waits.leaseId)).state).toBe('acquiring');
    await time.skipTo(2 * minuteMs, 'the end', () => time.bench.isClosed(waits.handle.workflowId));
    expect((await failed(waits)).type).toBe('GuestNeverReady');
    await until('nobody waits', async () => (await pool.status()).waiting.length === 0);
    await has.handle.executeUpdate('release', { args: [{}] });
    await has.handle.result();
    await pool.end();
  });
});
