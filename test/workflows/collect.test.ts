import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LeaseResult, LeaseStatus } from '../../src/domain/lease.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import { startLeaseBench, type LeaseBench } from '../support/lease-bench.ts';
import { minuteMs, missing, timed } from '../support/timed.ts';
import { until } from '../support/until.ts';
import { job, update } from './kit.ts';

const report = { path: '~/report.xml', bytes: 3, sha256: 'f'.repeat(64), tree: false };
const collect = ['~/report.xml', '~/nothing'];
const hasReport = (world: FakeWorld): void => void world.files.set(report.path, report);
const collected = [
  { ...report, mode: '644' },
  { path: '~/nothing', reason: { type: 'NotFound', message: 'there is no ~/nothing' } },
];

describe.each([
  ['', defaultTuning],
  [' that continues as new again and again', { ...defaultTuning, continueEvery: 5 }],
])('a lease%s', (_how, tuning) => {
  let bench: LeaseBench;
  beforeAll(async () => {
    bench = await startLeaseBench(tuning);
  });
  afterAll(() => bench.stop());

  test('collects what its job made, also when that failed, before it gives the machine back', async () => {
    const leased = await bench.lease({ job, collect }, (world) => {
      hasReport(world);
      world.jobExit = 3;
    });
    expect(await leased.handle.result()).toMatchObject({ state: 'released', job: { exitCode: 3 }, collected });
    await bench.over(leased);
    const { calls } = leased.world;
    expect(calls.indexOf('moveFile')).toBeGreaterThan(calls.indexOf('followTask'));
    expect(calls.indexOf('destroyMachine')).toBeGreaterThan(calls.lastIndexOf('moveFile'));
    expect(leased.world.count('moveFile')).toBe(2);
  });

  test('that is cancelled collects too, and ends as cancelled', async () => {
    const leased = await bench.lease({ job, collect }, (world) => {
      hasReport(world);
      world.hold('followTask');
    });
    await leased.world.isHeld('followTask');
    await leased.handle.signal('cancel', {});
    expect(await leased.handle.result()).toMatchObject({ state: 'cancelled', job: { cancelled: true }, collected });
    await bench.over(leased);
  });

  test('that keeps its machine for a look has collected by then', async () => {
    const leased = await bench.lease({ job, collect, holdOnFailureMs: 3_600_000 }, (world) => {
      hasReport(world);
      world.jobExit = 1;
    });
    await until('collected', async () => (await bench.status(leased.leaseId)).collected !== undefined);
    expect(await bench.status(leased.leaseId)).toMatchObject({ state: 'held', collected });
    await update(leased, 'release');
    expect(await leased.handle.result()).toMatchObject({ collected });
    await bench.over(leased);
  });

  test('whose machine is lost meanwhile says so of what has not come', async () => {
    const leased = await bench.lease({ job, collect }, (world) => world.hold('moveFile'));
    await leased.world.isHeld('moveFile');
    leased.world.lost.set(`${leased.leaseId}.1`, { type: 'GuestLost', message: 'out of reach' });
    const result = await leased.handle.result();
    expect(result.collected?.map((file) => 'reason' in file && file.reason.type)).toEqual(['GuestLost', 'GuestLost']);
    await bench.over(leased);
  });

  test('collects twenty things, a few at a time, in the order that they were asked for', async () => {
    const paths = Array.from({ length: 20 }, (_, n) => `/out/${n}`);
    const leased = await bench.lease({ job, collect: paths }, (world) => {
      for (const path of paths) world.files.set(path, { ...report, path });
    });
    const result: LeaseResult = await leased.handle.result();
    expect(result.collected?.map(({ path }) => path)).toEqual(paths);
    expect(result.collected?.some((file) => 'reason' in file)).toBe(false);
    await bench.over(leased);
  });

  test('refuses at its door what is no path of a machine', async () => {
    const { handle } = await bench.lease({ job, collect: ['report.xml', '/a\nb'] });
    await expect(handle.result()).rejects.toMatchObject({ cause: { type: 'InvalidRequest' } });
  });
});

describe.skipIf(missing)('with a clock that skips', () => {
  const silent = (world: FakeWorld): void => void world.naps.set('moveFile', minuteMs);
  const late = { path: '~/report.xml', reason: { type: 'GuestUnreachable' } };

  timed('a guest that does not answer is given up half an hour later', async ({ time }) => {
    const { bench, lease, skip, skipTo } = time;
    const leased = await lease({ job, collect: ['~/report.xml'] }, silent);
    await until('it is asked', () => leased.world.count('moveFile') > 0);
    await skip(29 * minuteMs);
    expect((await leased.handle.query<LeaseStatus>('status')).state).toBe('releasing');
    await skipTo(5 * minuteMs, 'the end', async () => (await leased.handle.describe()).status.name !== 'RUNNING');
    expect(await leased.handle.result()).toMatchObject({ state: 'released', collected: [late] });
    await bench.over(leased);
  });

  timed('and half a minute after somebody cancelled the lease', async ({ time }) => {
    const { bench, lease, skipTo, nowMs } = time;
    const leased = await lease({ job, collect: ['~/report.xml'] }, silent);
    await until('it is asked', () => leased.world.count('moveFile') > 0);
    const began = await nowMs();
    await leased.handle.signal('cancel', {});
    await skipTo(5 * minuteMs, 'the end', async () => (await leased.handle.describe()).status.name !== 'RUNNING');
    const { collected: files, times } = await leased.handle.result();
    expect(files).toMatchObject([late]);
    expect(Date.parse(times.ended ?? '') - began).toBeLessThan(minuteMs);
    await bench.over(leased);
  });
});
