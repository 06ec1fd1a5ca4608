import { describe, expect } from 'vitest';
import { signalGapMs } from '../../src/domain/task.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { hourMs, minuteMs, missing, timed, type Time } from '../support/timed.ts';
import { until } from '../support/until.ts';
import { job, waitReady } from './kit.ts';

const eventsOf = async ({ bench }: Time, ids: readonly string[]): Promise<number> => {
  const runs = await Promise.all(ids.map((id) => bench.runsOf(id)));
  return runs.flat().reduce((sum, { events }) => sum + (events?.length ?? 0), 0);
};

/** An activity that waits is tried again in place of running: it would hold the clock. A retry adds no event either. */
const waiting = minuteMs;
/** One follow that ends, and the next. */
const eventsOfLeg = 7;

describe.skipIf(missing)('an hour', { timeout: 240_000 }, () => {
  timed('of a ready lease that nobody uses adds at most 4 events', async ({ time }) => {
    const leased = await time.lease({ ttlMs: 8 * hourMs }, (world) => {
      world.faults = [];
      world.naps.set('watchMachine', waiting);
    });
    await waitReady(leased);
    await until('it is watched', () => leased.world.count('watchMachine') > 0);
    const ids = [leased.handle.workflowId, time.bench.machine(leased.leaseId).workflowId];
    const before = await eventsOf(time, ids);
    await time.skip(hourMs);
    expect(leased.world.count('watchMachine')).toBeGreaterThan(50);
    expect((await eventsOf(time, ids)) - before).toBeLessThanOrEqual(4);
    leased.world.naps.clear();
    await leased.handle.signal('cancel');
    await time.bench.over(leased);
  });

  timed('of a task that never stops to write adds at most 700 events', async ({ time }) => {
    const leased = await time.lease({ job, ttlMs: 8 * hourMs }, (world) => {
      world.faults = [];
      world.naps.set('watchMachine', waiting);
      world.naps.set('followTask', waiting);
    });
    await until('it is followed', () => leased.world.count('followTask') > 0);
    const task = time.bench.task(leased.leaseId);
    const ids = [leased.handle.workflowId, time.bench.machine(leased.leaseId).workflowId, task.workflowId];
    const before = await eventsOf(time, ids);
    // As the follow tells it: at these gaps, the longer the older the task.
    let told = 0;
    for (let ageMs = 0; ageMs < hourMs; told += 1) {
      const side = { bytes: ageMs, tail: 'x'.repeat(2_048) };
      await task.signal('outputAdvanced', { stdout: side, stderr: side });
      const gapMs = signalGapMs(ageMs);
      await time.skip(gapMs);
      ageMs += gapMs;
    }
    expect(told).toBeGreaterThan(100);
    const legs = Math.ceil(hourMs / defaultTuning.legMs);
    expect((await eventsOf(time, ids)) - before + legs * eventsOfLeg).toBeLessThanOrEqual(700);
    leased.world.naps.clear();
    await leased.handle.signal('cancel');
    await time.bench.over(leased);
  });
});
