import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { PoolStatus } from '../../src/domain/pool-status.ts';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import { alive, freshId, startTestStack, type TestStack, type View } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 120_000 });

const settings = `providers:
  local: {type: local, quota: {machines: 1}}
  other: {type: local}
pools:
  shelf: {bundle: pooled, target: 0, ceiling: 1}
`;
const bundles = { alone: 'variants: [{provider: local}]\n', pooled: 'variants: [{provider: other}]\n' };

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({ settings, bundles });
  await until('the pool is there', () => status<PoolStatus>('pool/shelf').then(Boolean, () => false));
});
afterAll(() => stack.stop());

const status = <T>(workflowId: string): Promise<T> => stack.client.workflow.getHandle(workflowId).query<T>('status');

async function killWorker(): Promise<void> {
  const before = await stack.killHard('worker');
  await until('another worker runs', async () => {
    const now = await stack.pidOf('worker');
    return now !== undefined && now !== before && alive(now);
  });
}

const waits: readonly (readonly [string, keyof typeof bundles, (view: View) => boolean, () => Promise<boolean>])[] = [
  [
    'for its part of an account',
    'alone',
    ({ attempts }) => attempts[0]?.phase === 'queued' && attempts[0].waiting !== undefined,
    async () => {
      const { held, waiting, healed } = await status<QuotaStatus>('quota/local');
      return held.length === 0 && waiting.length === 0 && healed === 0;
    },
  ],
  [
    'in the queue of a pool',
    'pooled',
    ({ queue }) => queue?.place === 1,
    async () => {
      const { machines, waiting } = await status<PoolStatus>('pool/shelf');
      return machines.length === 0 && waiting.length === 0;
    },
  ],
];

describe('the worker killed with -9 while a lease waits', () => {
  it.each(waits)(
    '%s, and again as its turn comes: it is served once, nothing is left',
    async (_, bundle, is, isFree) => {
      const [first, second] = [freshId('first'), freshId('second')];
      await stack.create({ leaseId: first, bundle });
      expect((await stack.wait(first, 'ready')).state).toBe('ready');
      await stack.create({ leaseId: second, bundle, job: { command: ['sh', '-c', 'echo ran >> ran; cat ran'] } });
      await until(`${second} waits`, async () => is(await stack.get(second)));
      await killWorker();
      expect(await stack.get(second)).toMatchObject({ state: 'acquiring' });
      await stack.post(`/v1/leases/${first}/release`);
      await killWorker();
      const { out, result } = await stack.follow(second);
      expect(out.toString()).toBe('ran\n');
      expect(result).toMatchObject({ state: 'exited', exitCode: 0 });
      const { state, attempts } = await stack.wait(second, 'gone');
      expect([state, attempts.length]).toEqual(['released', 1]);
      await stack.wait(first, 'gone');
      await until('all is given back', isFree);
      expect(await stack.machinesLeft()).toEqual([]);
    },
  );
});
