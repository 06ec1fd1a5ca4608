import { readFileSync } from 'node:fs';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { ledgerLine } from '../../src/contract/sweep.ts';
import type { LedgerLine } from '../../src/domain/ledger.ts';
import { keepSweepSchedules } from '../../src/worker/sweep-schedules.ts';
import { until } from '../support/until.ts';
import { freshId, startApiBench, type ApiBench } from './api-bench.ts';

vi.setConfig({ testTimeout: 60_000 });

let bench: ApiBench;
beforeAll(async () => (bench = await startApiBench()));
afterEach(() => keepSweepSchedules(bench.client, [], often, bench.taskQueue));
afterAll(() => bench.stop());

const often = { everyMs: 1_000, graceMs: 0 };
const sweepOften = () => keepSweepSchedules(bench.client, ['fake'], often, bench.taskQueue);
const ledger = async (): Promise<LedgerLine> => {
  const lines = z.array(ledgerLine).parse(await (await bench.ask('/v1/ledger')).json());
  expect(lines.map(({ provider }) => provider)).toEqual(['fake']);
  return lines[0] as LedgerLine;
};
const shows = async (what: string, is: (line: LedgerLine) => boolean): Promise<LedgerLine> => {
  let line: LedgerLine | undefined;
  await until(what, async () => is((line = await ledger())));
  return line as LedgerLine;
};
const found = { provider: 'fake', kind: 'machine', key: 'k', state: 'running', createdAt: '2026-01-01T00:00:00.000Z' };

describe('the ledger', () => {
  it('has a line for each provider, also before the first look', async () => {
    expect(await ledger()).toEqual({ provider: 'fake', owned: 0, orphaned: 0, stuck: 0, forgotten: 0, reclaimed: 0 });
  });

  it('shows what the last scheduled sweep found, and that a provider gives no inventory', async () => {
    const { world } = bench;
    const nothing = world.inventory;
    const at = '2026-01-01T00:00:00.000Z';
    world.inventory = {
      ...nothing,
      owned: 2,
      orphans: [{ ...found, machineId: 'lost.1', reclaimed: true }],
      forgotten: [{ ...found, machineId: 'old.1', reason: 'closed' }],
      oldest: { machineId: 'old.1', createdAt: found.createdAt },
      reclaimed: 1,
    };
    await sweepOften();
    const good = await shows('the sweep', ({ owned }) => owned === 2);
    expect(good).toMatchObject({ orphaned: 1, forgotten: 1, stuck: 0, look: { at }, lastGoodAt: at });
    expect(good.oldest).toEqual({ machineId: 'old.1', createdAt: found.createdAt });
    expect(good.look?.failure).toBeUndefined();
    await shows('the next sweep counts on', ({ reclaimed }) => reclaimed > good.reclaimed);
    const reason = { type: 'RateLimited', message: 'too many calls' } as const;
    const later = '2026-01-01T00:09:00.000Z';
    world.inventory = { ...nothing, at: later, failures: [{ provider: 'fake', reason }] };
    const bad = await shows('the failure', ({ look }) => look?.failure !== undefined);
    expect(bad).toMatchObject({ owned: 2, orphaned: 1, look: { at: later, failure: reason }, lastGoodAt: at });
    world.inventory = nothing;
  });

  it('shows a sweep that came to no end, and one that is paused', async () => {
    await sweepOften();
    await shows('a look', ({ look }) => look !== undefined);
    bench.world.hold('sweepProviders');
    await bench.world.isHeld('sweepProviders');
    const { info } = await bench.client.schedule.getHandle('sweep/fake').describe();
    const going = info.recentActions.at(-1)?.action.workflow.workflowId ?? '';
    await bench.client.schedule.getHandle('sweep/fake').pause('a bad day');
    await bench.client.workflow.getHandle(going).terminate('by hand');
    bench.world.letGo('sweepProviders');
    const line = await shows('the broken one', ({ look }) => look?.failure?.type === 'Internal');
    expect(line.look?.failure?.message).toContain(`The sweep ${going} came to no end`);
    expect(line.paused).toBe(true);
  });
});

describe('the metrics', () => {
  const scrape = async (): Promise<string> => (await bench.ask('/metrics')).text();

  it('want the token, and come in the text format of Prometheus', async () => {
    expect((await bench.ask('/metrics', {}, 'stranger')).status).toBe(401);
    const answer = await bench.ask('/metrics');
    expect(answer.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    for (const line of (await answer.text()).trimEnd().split('\n')) {
      expect(line).toMatch(
        /^(# HELP [a-z_]+ .+\.|# TYPE [a-z_]+ (gauge|counter)|[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.e+]+)$/,
      );
    }
  });

  it('count leases and machines by state, and what is stuck', async () => {
    const { world } = bench;
    const before = world.tuning;
    world.tuning = { ...before, reclaimWithinMs: 300, stuckRetryMs: 300 };
    world.destroyable = 'now';
    const ids = [freshId(), freshId()];
    const ask = (path: string, method: string, body: unknown) =>
      bench.ask(path, { method, body: JSON.stringify(body) });
    for (const id of ids) await ask(`/v1/leases/${id}`, 'PUT', { bundle: 'hello' });
    await until('two are ready', async () => (await scrape()).includes('\nslipway_leases{state="ready"} 2\n'));
    expect(await scrape()).toContain('\nslipway_machines{state="ready"} 2\n');
    await ask(`/v1/leases/${ids[0]}/release`, 'POST', {});
    await until('one is stuck', async () => (await scrape()).includes('\nslipway_machines_stuck{provider="fake"} 1\n'));
    const text = await scrape();
    expect(text).toContain('\nslipway_machines{state="stuck"} 1\n');
    expect(text).toContain('\nslipway_leases{state="ready"} 1\n');
    expect((await ledger()).stuck).toBe(1);
    world.destroyable = true;
    world.tuning = before;
    await ask(`/v1/leases/${ids[1]}/release`, 'POST', {});
    await until('none is stuck', async () => (await ledger()).stuck === 0);
  });

  it('tell when the sweep last went well, and have each name in the documentation', async () => {
    await sweepOften();
    await shows('a look', ({ look }) => look !== undefined);
    const text = await scrape();
    expect(text).toContain('\nslipway_sweep_last_success_timestamp_seconds{provider="fake"} 1767225600\n');
    const docs = readFileSync(new URL('../../docs/metrics.md', import.meta.url), 'utf8');
    const named = (all: string, pattern: RegExp) => [...all.matchAll(pattern)].map(([, name = '']) => name).sort();
    expect(named(text, /^# TYPE (\S+)/gm)).toEqual(named(docs, /^\| `(\S+)`/gm));
  });
});
