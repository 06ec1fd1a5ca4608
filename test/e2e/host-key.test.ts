import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

describe('a lease at whose machine something else answers', () => {
  let stack: TestStack;
  beforeAll(async () => {
    const bundles = { small: 'variants: [{provider: local, diskMb: 32}]\nattempts: 3\n' };
    stack = await startTestStack({ bundles, tuning: { guestEveryMs: 300 } });
  });
  afterEach(() => stack.knobs({}));
  afterAll(() => stack.stop());

  const events = async (leaseId: string): Promise<readonly string[]> =>
    (await stack.logs())
      .split('\n')
      .filter((line) => line.includes('"security":true') && line.includes(`${leaseId}.1`));
  const isOver = async (leaseId: string): Promise<void> => {
    const { state, reason, attempts } = await stack.wait(leaseId, 'gone');
    expect([state, reason?.type, attempts.length]).toEqual(['failed', 'HostKeyMismatch', 1]);
    expect(attempts[0]?.phases.map(({ phase }) => phase)).not.toContain('held');
    await until('it is a security event', async () => (await events(leaseId)).length > 0);
    expect((await events(leaseId))[0]).toContain('host key mismatch');
    expect(await stack.machinesLeft()).toEqual([]);
  };

  it('fails at the first login, without another machine and without a look at that one', async () => {
    await stack.knobs({ wrongHostKey: true });
    const leaseId = freshId('key');
    await stack.create({ leaseId, bundle: 'small', holdOnFailureMs: 600_000 });
    await isOver(leaseId);
  });

  it('fails when it is ready already, as soon as somebody connects anew', async () => {
    const leaseId = freshId('key');
    await stack.create({ leaseId, bundle: 'small' });
    const { state, machine } = await stack.wait(leaseId, 'ready');
    expect([state, machine?.access?.pin]).toEqual(['ready', 'injected']);
    await stack.knobs({ wrongHostKey: true });
    // The connection that is open was proven when it was made: a boot ends it.
    await stack.post(`/v1/machines/${leaseId}.1/power`, { action: 'reset' });
    await isOver(leaseId);
  });
});
