import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { taskQueue } from '../../src/contract/messages.ts';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import type { OwnerTags } from '../../src/providers/provider.ts';
import { memoryProvider } from '../support/memory-provider.ts';
import { askFor } from '../support/quota-ask.ts';
import { startSweepBench, type SweepBench } from '../support/sweep-bench.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 60_000 });

const installation = 'ours';
const quota = { machines: 3 };
const memory = memoryProvider();
let bench: SweepBench;
beforeAll(async () => {
  bench = await startSweepBench(
    installation,
    [memory.provider],
    [{ name: 'cloud', providers: ['memory', 'other'], quota }],
  );
});
afterAll(() => bench.stop());

const ledger = (): Promise<QuotaStatus> => bench.client.workflow.getHandle('quota/cloud').query<QuotaStatus>('status');
const reserve = (machineId: string) =>
  askFor({ client: bench.client, taskQueue }, 'cloud', quota, { key: machineId, machineId, provider: 'memory' });
/** There at the provider, as by a create of ours. */
const make = (machineId: string) => {
  const tags: OwnerTags = {
    'slipway-installation': installation,
    'slipway-machine': machineId,
    'slipway-lease': machineId.split('.')[0] ?? '',
    'slipway-key': machineId,
  };
  return memory.provider.create(machineId, {} as never, tags, AbortSignal.timeout(1_000));
};
const heldIds = async (): Promise<readonly string[]> => (await ledger()).held.map(({ machineId }) => machineId);

test('a sweep corrects the ledger of its provider’s account, and never below nothing', async () => {
  // Nobody reserved it; one reserved and died before it was made, one with its machine left behind, one lives.
  await make('stray.1');
  for (const machineId of ['dead.1', 'left.1', 'alive.1']) await reserve(machineId);
  await make('left.1');
  await bench.live('alive.1', { key: 'alive.1' });
  await reserve('waits.1');
  expect((await ledger()).waiting.map(({ machineId }) => machineId)).toEqual(['waits.1']);

  await bench.sweep();
  expect(await ledger()).toMatchObject({
    inUse: { machines: 4 },
    // Its workflow is closed: nobody waits there.
    waiting: [],
    held: [
      { machineId: 'dead.1', missing: true },
      { machineId: 'left.1' },
      { machineId: 'alive.1' },
      { machineId: 'stray.1', found: true, owner: 'unknown' },
    ],
    healed: 2,
  });

  await bench.sweep({ reclaim: true, graceMs: 50 });
  await until('what nobody owns is gone, and counts no more', async () => (await heldIds()).join() === 'alive.1');
  expect(memory.machines.size).toBe(0);
  expect(await bench.client.workflow.getHandle('machine/left.1').result()).toMatchObject({ phase: 'gone' });

  const before = await bench.client.workflow.getHandle('quota/cloud').fetchHistory();
  await bench.sweep();
  const after = await bench.client.workflow.getHandle('quota/cloud').fetchHistory();
  // Where they agree there is nothing to tell.
  expect(after.events?.length).toBe(before.events?.length);
  await bench.client.workflow.getHandle('machine/alive.1').terminate();
});

test('a ledger that was lost is made anew from what is there', async () => {
  await make('kept.1');
  await bench.client.workflow.getHandle('quota/cloud').terminate('test');
  await bench.sweep();
  expect(await ledger()).toMatchObject({ quota, inUse: { machines: 1 }, held: [{ machineId: 'kept.1', found: true }] });
  await bench.sweep({ reclaim: true, graceMs: 50 });
  await until('it is gone', async () => (await heldIds()).length === 0);
});
