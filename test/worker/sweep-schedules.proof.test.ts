import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { pino } from 'pino';
import type { Deps } from '../../src/activities/deps.ts';
import { forgetSweeps } from '../../src/activities/sweep-history.ts';
import { isIdleNow } from '../../src/dev/idle-watch.ts';
import type { SweepReport } from '../../src/domain/sweep.ts';
import { keepSweepSchedules } from '../../src/worker/sweep-schedules.ts';
import { localBench, type LocalBench } from '../support/local-machines.ts';
import { startSweepBench, type SweepBench } from '../support/sweep-bench.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 90_000 });

let local: LocalBench;
let bench: SweepBench;
beforeAll(async () => {
  local = localBench();
  bench = await startSweepBench(local.installation, [local.provider]);
});
afterEach(async () => {
  local.faults();
  await keepSweepSchedules(bench.client, [], sweep);
});
afterAll(async () => {
  await bench.stop();
  await local.close();
});

const sweep = { everyMs: 60_000, graceMs: 30_000 };
const often = { everyMs: 1_000, graceMs: 100 };
const idsOf = async (): Promise<string[]> => {
  const ids: string[] = [];
  for await (const { scheduleId } of bench.client.schedule.list()) ids.push(scheduleId);
  return ids.sort();
};
const schedules = (ids: readonly string[]): Promise<void> =>
  until(`schedules ${ids.join()}`, async () => (await idsOf()).join() === ids.join());
const count = async (query: string): Promise<number> => (await bench.client.workflow.count(query)).count;

/** What the last sweeps of the schedule found, the newest last. */
async function reports(): Promise<SweepReport[]> {
  const { info } = await bench.client.schedule.getHandle('sweep/local').describe();
  const over = info.recentActions.filter(
    ({ action }) => !info.runningActions.some(({ workflow }) => workflow.workflowId === action.workflow.workflowId),
  );
  return Promise.all(
    over.map(
      ({ action }) => bench.client.workflow.getHandle(action.workflow.workflowId).result() as Promise<SweepReport>,
    ),
  );
}
const reported = async (what: string, is: (report: SweepReport) => boolean): Promise<SweepReport> => {
  let found: SweepReport | undefined;
  await until(what, async () => (found = (await reports()).find(is)) !== undefined);
  return found as SweepReport;
};

describe('the schedules of the sweep', () => {
  test('are one for each provider, made once, and none is left for a provider that was removed', async () => {
    await keepSweepSchedules(bench.client, ['far', 'local'], sweep);
    await schedules(['sweep/far', 'sweep/local']);
    await keepSweepSchedules(bench.client, ['far', 'local'], sweep);
    const handle = bench.client.schedule.getHandle('sweep/local');
    const { info, policies, spec } = await handle.describe();
    expect(info.lastUpdatedAt).toBeUndefined();
    expect(policies.overlap).toBe('SKIP');
    expect(spec.intervals).toMatchObject([{ every: 60_000 }]);
    await keepSweepSchedules(bench.client, ['local'], sweep);
    await schedules(['sweep/local']);
  });

  test('follow the settings, and stay paused where somebody paused them', async () => {
    await keepSweepSchedules(bench.client, ['local'], sweep);
    const handle = bench.client.schedule.getHandle('sweep/local');
    await handle.pause('the cloud has a bad day');
    await keepSweepSchedules(bench.client, ['local'], { everyMs: 120_000, graceMs: 10_000 });
    const { spec, state, action } = await handle.describe();
    expect(spec.intervals).toMatchObject([{ every: 120_000 }]);
    expect(action.args).toEqual([{ provider: 'local', reclaim: true, graceMs: 10_000, schedule: 'sweep/local' }]);
    expect(state.paused).toBe(true);
  });
});

describe('a sweep on its schedule', () => {
  test('finds an orphan by itself, sees to it, and counts on from run to run', async () => {
    await keepSweepSchedules(bench.client, ['local'], often);
    const first = await local.make('found.1');
    await local.seen(first.ref, 'absent');
    await reported('one reclaimed', ({ reclaimed }) => reclaimed === 1);
    const second = await local.make('found.2');
    await local.seen(second.ref, 'absent');
    const report = await reported('two reclaimed', ({ reclaimed }) => reclaimed === 2);
    expect(report.lastGoodAt).toBe(report.at);
    // Nothing is found twice.
    const later = await reported('a sweep after it', ({ at }) => at > report.at);
    expect(later).toMatchObject({ orphans: [], reclaimed: 2 });
  });

  test('shows a provider that gives no inventory, with when it last did', async () => {
    await keepSweepSchedules(bench.client, ['local'], often);
    const machine = await local.make('unseen.1');
    await bench.live('unseen.1', { key: machine.key });
    const good = await reported('the machine', ({ owned }) => owned === 1);
    local.faults({ fault: 'serverError', verb: 'list' });
    const bad = await reported('the failure', ({ failures }) => failures.length > 0);
    expect(bad).toMatchObject({ owned: 1, failures: [{ provider: 'local' }] });
    expect(Date.parse(bad.lastGoodAt ?? '')).toBeGreaterThanOrEqual(Date.parse(good.at));
    expect(Date.parse(bad.at)).toBeGreaterThan(Date.parse(bad.lastGoodAt ?? ''));
    local.faults();
    await reported('a good one', ({ failures, at }) => failures.length === 0 && at > bad.at);
    await bench.client.workflow.getHandle('machine/unseen.1').terminate();
    await local.destroyed(machine.ref);
  });

  test('keeps no stack from being idle, and its old runs are forgotten', async () => {
    await keepSweepSchedules(bench.client, ['local'], often);
    const ofSchedule = "TemporalScheduledById = 'sweep/local' AND ExecutionStatus != 'Running'";
    const before = await count(ofSchedule);
    await until('three more runs', async () => (await count(ofSchedule)) >= before + 3);
    const temporal = { address: '', namespace: 'default', taskQueue: 'slipway' };
    const connection = bench.client.connection as Parameters<typeof isIdleNow>[0];
    const open = await bench.client.workflow.start('sweep', { workflowId: 'sweep/open', taskQueue: 'nobody' });
    await until('the sweep is in the index', async () => (await count("WorkflowId = 'sweep/open'")) === 1);
    expect(await isIdleNow(connection, temporal)).toBe(true);
    const life = await bench.live('busy.1');
    await until('the machine is in the index', async () => (await count("WorkflowId = 'machine/busy.1'")) === 1);
    expect(await isIdleNow(connection, temporal)).toBe(false);
    await life.terminate();
    await open.terminate();
    await keepSweepSchedules(bench.client, [], sweep);
    const deps: Pick<Deps, 'client' | 'logger'> = { client: bench.client, logger: pino({ level: 'silent' }) };
    await forgetSweeps(deps, 'sweep/local');
    expect(await count(ofSchedule)).toBeGreaterThanOrEqual(before + 3);
    // The scheduler's own life has a history too.
    const scheduler =
      "TemporalNamespaceDivision = 'TemporalScheduler' AND WorkflowId = 'temporal-sys-scheduler:sweep/local' AND ExecutionStatus != 'Running'";
    expect(await count(scheduler)).toBeGreaterThan(0);
    await until('none is kept', async () => {
      await forgetSweeps(deps, 'sweep/local', 0);
      return (await count(ofSchedule)) + (await count(scheduler)) === 0;
    });
  });
});
