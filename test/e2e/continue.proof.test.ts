import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freshId, sha256, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;

beforeAll(async () => {
  stack = await startTestStack({
    tuning: { continueEvery: 5, leaseEveryMs: 500, providerEveryMs: 500 },
    bundles: { bare: 'variants:\n  - provider: local\n', manual: 'variants:\n  - provider: local\nready: manual\n' },
  });
});
afterAll(() => stack.stop());

async function runsOf(workflowId: string): Promise<number> {
  let runs = 0;
  const query = `WorkflowId = '${workflowId}'`;
  for await (const _ of stack.client.workflow.list({ query })) runs += 1;
  return runs;
}

describe('workflows that continue as new every 5 events', () => {
  it('carry lease, machine and task over at least three runs each, and lose nothing', async () => {
    const leaseId = freshId('can');
    const script = 'i=0; while [ $i -lt 80 ]; do i=$((i+1)); echo line $i; sleep 0.1; done; exit 7';
    await stack.create({ leaseId, bundle: 'manual' });
    await until('the machine waits to be marked', async () => (await stack.get(leaseId)).machine?.phase === 'readying');
    await stack.post(`/v1/leases/${leaseId}/ready`, { result: 0 });
    await stack.wait(leaseId, 'ready');
    await stack.runTask(leaseId, 'long', { command: ['sh', '-c', script] });
    for (const byMs of [60_000, 120_000]) await stack.post(`/v1/leases/${leaseId}/extend`, { byMs });
    const { out, result } = await stack.follow(leaseId, 'long');
    expect(sha256(out)).toBe(sha256(Array.from({ length: 80 }, (_, n) => `line ${n + 1}\n`).join('')));
    expect(result).toMatchObject({ state: 'exited', exitCode: 7 });
    await stack.post(`/v1/leases/${leaseId}/release`);
    expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    expect(await stack.machinesLeft()).toEqual([]);
    for (const id of [`lease/${leaseId}`, `machine/${leaseId}.1`, `task/${leaseId}/long`]) {
      await until(`${id} shows three runs`, async () => (await runsOf(id)) >= 3);
    }
  });

  it('take the machine back when the lease is terminated', async () => {
    const leaseId = freshId('term');
    await stack.create({ leaseId, bundle: 'bare', job: { command: ['sleep', '300'] } });
    await until('the job runs', async () => (await stack.get(leaseId)).state === 'working');
    await stack.client.workflow.getHandle(`lease/${leaseId}`).terminate('by a test');
    await until('no machine is left', async () => (await stack.machinesLeft()).length === 0);
    expect(await stack.get(leaseId)).toMatchObject({ state: 'failed' });
  });

  it('fail the lease when its machine is terminated, and the sweep finds the orphan', async () => {
    const leaseId = freshId('orphan');
    await stack.create({ leaseId, bundle: 'bare' });
    await stack.wait(leaseId, 'ready');
    await stack.client.workflow.getHandle(`machine/${leaseId}.1`).terminate('by a test');
    expect(await stack.wait(leaseId, 'ended')).toMatchObject({ state: 'failed', reason: { type: 'GuestLost' } });
    const look = (await stack.post('/v1/sweep', {})) as unknown as {
      orphans: { machineId: string; reclaimed: boolean }[];
    };
    expect(look.orphans).toMatchObject([{ machineId: `${leaseId}.1`, reclaimed: false }]);
    await stack.post('/v1/sweep', { reclaim: true });
    await until('no machine is left', async () => (await stack.machinesLeft()).length === 0);
  });

  it('close as Canceled on a cancel of Temporal, with the machine gone', async () => {
    const leaseId = freshId('cancel');
    await stack.create({ leaseId, bundle: 'bare' });
    await stack.wait(leaseId, 'ready');
    const handle = stack.client.workflow.getHandle(`lease/${leaseId}`);
    await handle.cancel();
    await stack.wait(leaseId, 'gone');
    expect((await handle.describe()).status.name).toBe('CANCELLED');
    expect(await stack.machinesLeft()).toEqual([]);
  });
});
