import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { createLocalProvider } from '../../src/providers/local/client.ts';
import type { MachineStatus } from '../../src/domain/lease.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { localBench, type TestMachine } from '../support/local-machines.ts';
import { startSweepBench, type SweepBench } from '../support/sweep-bench.ts';
import { until } from '../support/until.ts';
import { withVolumes } from '../support/with-volumes.ts';

vi.setConfig({ testTimeout: 60_000 });

const local = localBench();
/** The same folder, as a second deployment in one account would see it. */
const stranger = createLocalProvider({ folder: local.folder, installation: 'another-installation' });
/** What happens just before the next inventories, in their order. */
let beforeList: (() => Promise<unknown>)[] = [];
const provider: Provider = {
  ...local.provider,
  list: async (installation, signal) => {
    await beforeList.shift()?.();
    // As a cloud that ignores a filter: the machines of all installations.
    const all = [local.installation, 'another-installation'].map((each) => local.provider.list(each, signal));
    return (await Promise.all(all)).flat();
  },
};
const volumes = withVolumes(provider);

let bench: SweepBench;
beforeAll(async () => {
  bench = await startSweepBench(local.installation, [volumes.provider]);
});
afterEach(async () => {
  beforeList = [];
  volumes.clear();
  local.faults();
  for (const { ref } of await local.provider.list(local.installation, local.signal())) await local.destroyed(ref);
});
afterAll(async () => {
  await bench.stop();
  await stranger.close();
  await local.close();
});

const reclaim = { reclaim: true, graceMs: 100 };
const isThere = async (machine: TestMachine): Promise<boolean> =>
  (await local.provider.get(machine.ref, local.signal())).state === 'running';
const goesAway = (machine: TestMachine): Promise<void> =>
  until('the machine is gone', async () => (await local.provider.get(machine.ref, local.signal())).state === 'absent');
describe('a machine whose workflow is not open', () => {
  test('is shown as an orphan, and left alone by a sweep that only looks', async () => {
    const machine = await local.make('shown.1');
    const report = await bench.sweep();
    expect(report.orphans).toMatchObject([
      { machineId: 'shown.1', provider: 'local', kind: 'machine', key: machine.key, reclaimed: false },
    ]);
    expect(report).toMatchObject({ owned: 0, forgotten: [], failures: [], reclaimed: 0 });
    expect(report.oldest).toMatchObject({ machineId: 'shown.1' });
    expect(await isThere(machine)).toBe(true);
  });

  test('is reclaimed under its own id, seen gone, and its earlier life stays closed', async () => {
    const earlier = await bench.live('left.1');
    await earlier.terminate('a crash');
    const machine = await local.make('left.1');
    const report = await bench.sweep(reclaim);
    expect(report).toMatchObject({ orphans: [{ machineId: 'left.1', reclaimed: true }], reclaimed: 1 });
    await goesAway(machine);
    const again = bench.client.workflow.getHandle('machine/left.1');
    expect(await again.result()).toMatchObject({ phase: 'gone', cause: 'leaseClosed' });
    expect((await again.describe()).runId).not.toBe(earlier.firstExecutionRunId);
    expect((await bench.sweep()).orphans).toEqual([]);
  });

  test('that gets an owner between the two looks is left alone: a live owner always wins', async () => {
    const machine = await local.make('born.1');
    beforeList = [() => Promise.resolve(), () => bench.live('born.1')];
    const report = await bench.sweep(reclaim);
    expect(report).toMatchObject({ owned: 1, orphans: [], reclaimed: 0 });
    expect(await isThere(machine)).toBe(true);
    await bench.client.workflow.getHandle('machine/born.1').terminate();
  });

  test('that was not there at the first look is not touched yet', async () => {
    const first = await local.make('first.1');
    const late: TestMachine[] = [];
    beforeList = [() => Promise.resolve(), async () => late.push(await local.make('late.1'))];
    const report = await bench.sweep(reclaim);
    const ends = Object.fromEntries(report.orphans.map(({ machineId, reclaimed }) => [machineId, reclaimed]));
    expect(ends).toEqual({ 'first.1': true, 'late.1': false });
    await goesAway(first);
    expect(await isThere(late[0] as TestMachine)).toBe(true);
  });

  test('is an orphan also while a later life has its id, and is reclaimed beside that', async () => {
    const stray = await local.make('reused.1');
    const owned = await local.make('reused.1');
    await bench.live('reused.1', { key: owned.key });
    const report = await bench.sweep(reclaim);
    expect(report).toMatchObject({ owned: 1, orphans: [{ key: stray.key, reclaimed: true }] });
    await goesAway(stray);
    expect(await isThere(owned)).toBe(true);
    await bench.client.workflow.getHandle('machine/reused.1').terminate();
  });

  test('that cannot be destroyed is stuck, and from when a person gives it up it is shown as forgotten and left alone', async () => {
    const machine = await local.make('given-up.1');
    local.faults({ fault: 'failure', verb: 'destroy', type: 'ProviderAuthRefused', when: 'before' });
    await bench.sweep(reclaim);
    const life = bench.client.workflow.getHandle('machine/given-up.1');
    await until('stuck', async () => (await life.query<MachineStatus>('status')).phase === 'stuck');
    expect(await bench.sweep(reclaim)).toMatchObject({ owned: 1, orphans: [], forgotten: [] });
    await life.executeUpdate('forget', { args: [{ reason: 'the account was closed' }] });
    expect(await life.result()).toMatchObject({ forgotten: { debts: [{ kind: 'machine', key: machine.key }] } });
    local.faults();
    const report = await bench.sweep(reclaim);
    const given = { machineId: 'given-up.1', kind: 'machine', key: machine.key, reason: 'the account was closed' };
    expect(report).toMatchObject({ owned: 0, orphans: [], forgotten: [given] });
    expect(await isThere(machine)).toBe(true);
  });
});

describe('a machine whose workflow is open', () => {
  test('is owned, whatever its lease says', async () => {
    const machine = await local.make('owned.1');
    await bench.live('owned.1', { key: machine.key });
    expect(await bench.sweep(reclaim)).toMatchObject({ owned: 1, orphans: [], reclaimed: 0 });
    expect(await isThere(machine)).toBe(true);
    await bench.client.workflow.getHandle('machine/owned.1').terminate();
  });
});

describe('two installations in one account', () => {
  test('never touch each other’s machines, also where the provider ignores whose they are', async () => {
    const key = 'f'.repeat(40);
    const tags = { ...local.tags('theirs.1', key), 'slipway-installation': 'another-installation' };
    const theirs = await stranger.create(key, local.spec('theirs-1'), tags, local.signal());
    await local.seen(theirs, 'running');
    const ours = await local.make('ours.1');
    const report = await bench.sweep(reclaim);
    expect(report.orphans.map(({ machineId }) => machineId)).toEqual(['ours.1']);
    await goesAway(ours);
    expect((await bench.sweep(reclaim)).orphans).toEqual([]);
    expect(await stranger.get(theirs, local.signal())).toMatchObject({ state: 'running' });

    // The other installation, with a Temporal server of its own, finds what is its own.
    const other = await startSweepBench('another-installation', [stranger]);
    const mine = await local.make('mine.1');
    expect(await other.sweep(reclaim)).toMatchObject({ orphans: [{ machineId: 'theirs.1', reclaimed: true }] });
    await until('theirs is gone', async () => (await local.provider.get(theirs, local.signal())).state === 'absent');
    expect(await isThere(mine)).toBe(true);
    await other.stop();
  });
});

describe('a provider that gives no whole inventory', () => {
  const failing = (): void => local.faults({ fault: 'rateLimited', verb: 'list' });

  test('has nothing judged and nothing touched, and the failure is shown', async () => {
    const machine = await local.make('dark.1');
    failing();
    const report = await bench.sweep(reclaim);
    expect(report).toMatchObject({ owned: 0, orphans: [], reclaimed: 0 });
    expect(report.failures).toMatchObject([{ provider: 'local', reason: { type: 'RateLimited' } }]);
    local.faults();
    expect(await isThere(machine)).toBe(true);
  });

  test('at the second look only, has nothing touched either', async () => {
    const machine = await local.make('dim.1');
    beforeList = [() => Promise.resolve(), async () => failing()];
    const report = await bench.sweep(reclaim);
    expect(report).toMatchObject({ orphans: [], reclaimed: 0, failures: [{ provider: 'local' }] });
    local.faults();
    expect(await isThere(machine)).toBe(true);
  });
});

describe('a resource of another kind', () => {
  test('that nobody owns is deleted by the same rule, and one that is in use is tried again by the next sweep', async () => {
    const tags = local.tags('gone.1', 'a'.repeat(40));
    volumes.add(tags, 'one');
    volumes.add(tags, 'two');
    volumes.inUse.add('two');
    expect((await bench.sweep()).orphans).toMatchObject([
      { kind: 'volume', reclaimed: false },
      { kind: 'volume', reclaimed: false },
    ]);
    expect(await bench.sweep(reclaim)).toMatchObject({ owned: 0, reclaimed: 1 });
    expect(volumes.left()).toEqual(['two']);
    volumes.inUse.clear();
    await bench.sweep(reclaim);
    expect(volumes.left()).toEqual([]);
  });

  test('goes with its machine, whose reclaim ends only when it is gone too', async () => {
    const machine = await local.make('attached.1');
    volumes.add(local.tags('attached.1', machine.key), 'three');
    volumes.inUse.add('three');
    const report = await bench.sweep(reclaim);
    const ends = Object.fromEntries(report.orphans.map(({ kind, reclaimed }) => [kind, reclaimed]));
    expect(ends).toEqual({ machine: true, volume: false });
    await goesAway(machine);
    const life = bench.client.workflow.getHandle('machine/attached.1');
    expect((await life.describe()).status.name).toBe('RUNNING');
    volumes.inUse.clear();
    expect(await life.result()).toMatchObject({ phase: 'gone' });
    expect(volumes.left()).toEqual([]);
  });

  test('of an open machine is left alone', async () => {
    const machine = await local.make('kept.1');
    volumes.add(local.tags('kept.1', machine.key), 'four');
    await bench.live('kept.1', { key: machine.key });
    expect(await bench.sweep(reclaim)).toMatchObject({ owned: 1, orphans: [] });
    expect(volumes.left()).toEqual(['four']);
    await bench.client.workflow.getHandle('machine/kept.1').terminate();
  });
});
