/**
 * Saves the histories that `replay.test.ts` runs against today's workflows: `npm run histories`, after a build. Those that
 * are there stay, because they are of yesterday's workflows; a new shape joins them.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { historyToJSON } from '@temporalio/common/lib/proto-utils.js';
import { expect, test } from 'vitest';
import type { LeaseStatus } from '../../src/domain/lease.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from '../support/fake-plan.ts';
import { startLeaseBench, type LeaseBench, type Leased } from '../support/lease-bench.ts';
import { until } from '../support/until.ts';
import { keptLives } from './kept-lives.ts';

const folder = new URL('histories/', import.meta.url);
const job = { command: ['true'] };

/** Each life of a lease that an upgrade may meet in the middle. */
const lives: Readonly<Record<string, (bench: LeaseBench) => Promise<Leased>>> = {
  'released-with-job': (bench) => bench.lease({ job }, (world) => (world.plan = fakePlan({ steps: [step] }))),
  'released-without-job': async (bench) => {
    const leased = await bench.lease();
    // It answers early when its run continues as new.
    await until('the lease is ready', async () => {
      const { state } = await leased.handle.executeUpdate<LeaseStatus, [unknown]>('waitReady', { args: [{}] });
      return state === 'ready';
    });
    await leased.handle.executeUpdate('runTask', { args: [{ taskId: 'one', spec: job }] });
    await leased.handle.executeUpdate('extend', { args: [{ byMs: 60_000 }] });
    await leased.handle.executeUpdate('release', { args: [{}] });
    return leased;
  },
  'failed-after-two-attempts': (bench) =>
    bench.lease({ job }, (world) => {
      world.plan = fakePlan({ steps: [step] });
      world.stepFailure = { 0: 3 };
    }),
  'cancelled-by-signal': async (bench) => {
    const leased = await bench.lease({ job }, (world) => world.hold('followTask'));
    await leased.world.isHeld('followTask');
    await leased.handle.signal('cancel', { reason: 'enough' });
    return leased;
  },
  'cancelled-by-temporal': async (bench) => {
    const leased = await bench.lease({}, (world) => world.hold('awaitAccessible'));
    await leased.world.isHeld('awaitAccessible');
    await leased.handle.cancel();
    return leased;
  },
  expired: (bench) => bench.lease({ ttlMs: 500 }),
  'marked-ready-and-stuck': async (bench) => {
    const leased = await bench.lease({ attempts: 1 }, (world) => {
      world.plan = fakePlan({ gate: 'manual' });
      world.destroyable = 'now';
    });
    await leased.handle.signal('markReady', { result: 3, message: 'no licence' });
    await until('the machine is stuck', async () => {
      const status = await bench.machineStatus(leased.leaseId).catch(() => undefined); // not started yet
      return status?.phase === 'stuck';
    });
    leased.world.destroyable = true;
    return leased;
  },
  'given-up': async (bench) => {
    const leased = await bench.lease({ attempts: 1 }, (world) => {
      world.destroyable = 'now';
      world.faults = [{ activity: 'awaitAccessible', side: 'before', type: 'GuestNeverReady' }];
    });
    await until('the machine is stuck', async () => {
      const status = await bench.machineStatus(leased.leaseId).catch(() => undefined); // not started yet
      return status?.phase === 'stuck';
    });
    await bench.machine(leased.leaseId).executeUpdate('forget', { args: [{ reason: 'the account was closed' }] });
    // Somebody deletes it by hand.
    for (const [key, one] of leased.world.machines) leased.world.machines.set(key, { ...one, state: 'destroyed' });
    return leased;
  },
  terminated: async (bench) => {
    const leased = await bench.lease();
    await until('the machine is ready', async () => {
      const status = await bench.machineStatus(leased.leaseId).catch(() => undefined); // not started yet
      return status?.phase === 'ready';
    });
    await leased.handle.terminate('by hand');
    return leased;
  },
  notified: (bench) => bench.lease({ job, notify: { url: 'https://ci.example.com/', secret: 'hook' } }),
  'own-host-key': (bench) => bench.lease({ job }, (world) => (world.ownHostKeys = true)),
  'lost-task': (bench) =>
    bench.lease({ job }, (world) => (world.faults = [{ activity: 'followTask', side: 'before', type: 'GuestLost' }])),
};
const step = { title: 'install', limitMs: 60_000, allowFailure: false };

/** Stack traces name the folder of whoever saved them, and replay does not read them. */
const withoutStacks = (key: string, value: unknown): unknown => (key === 'stackTrace' ? '' : value);

const tunings = {
  '': { ...defaultTuning, reclaimWithinMs: 500, stuckRetryMs: 1_000 },
  '-continued': { ...defaultTuning, reclaimWithinMs: 500, stuckRetryMs: 1_000, continueEvery: 5 },
};

test.each(Object.entries(tunings))('histories%s', { timeout: 240_000 }, async (suffix, tuning) => {
  await mkdir(folder, { recursive: true });
  const saved = await readdir(folder);
  const bench = await startLeaseBench(tuning);
  const all = { ...lives, ...keptLives };
  for (const [name, live] of Object.entries(all)) {
    if (saved.some((file) => file.startsWith(`${name}${suffix}.`))) continue;
    const life = await live(bench);
    const { leased, others } = 'leased' in life ? life : { leased: life, others: [] };
    await leased.handle.result().catch(() => undefined);
    await bench.over(leased);
    const machines = leased.world.machines.size;
    const ids = [
      leased.handle.workflowId,
      ...Array.from({ length: machines }, (_, n) => bench.machine(leased.leaseId, n + 1).workflowId),
      ...[...leased.world.launches.keys()].map((key) => `task/${key}`),
      ...leased.world.told.map(({ event }) => `notify/${leased.leaseId}/${event}`).sort(),
      ...others,
    ];
    for (const id of ids) {
      for (const [n, run] of (await bench.runsOf(id)).entries()) {
        const file = new URL(`${name}${suffix}.${id.split('/')[0]}-${ids.indexOf(id)}.run-${n + 1}.json`, folder);
        await rm(file, { force: true });
        // With its id: a lease refuses to run under another.
        const history: unknown = JSON.parse(historyToJSON(run));
        await writeFile(file, `${JSON.stringify({ workflowId: id, history }, withoutStacks)}\n`);
      }
    }
    expect(leased.world.owned()).toEqual([]);
  }
  await bench.stop();
});
