import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { QuotaStatus } from '../../src/domain/quota-status.ts';
import { turnKnobs } from '../support/local-knobs.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 300_000, hookTimeout: 120_000 });

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({ settings: settings(2), bundles: { pair } });
});
afterAll(() => stack.stop());

const settings = (machines: number): string => `providers:
  local: {type: local, quota: {machines: ${machines}}}
  one: {type: local, account: shared, quota: {machines: 4, coolDownMs: 20s}}
  two: {type: local, account: shared, rate: {callsPerSecond: 50}}
`;
const pair = 'variants: [{provider: one}, {provider: two}]\n';

const status = (account = 'local'): Promise<QuotaStatus> =>
  stack.client.workflow.getHandle(`quota/${account}`).query<QuotaStatus>('status');

test('ten leases at once on an account of two machines: never more than two exist, all are served', async () => {
  // The provider itself refuses a third machine, for good: no lease may ever come to hear that.
  turnKnobs(join(stack.state, 'local'), { quota: 2 });
  const ids = Array.from({ length: 10 }, (_, n) => freshId(`q${n}`));
  for (const leaseId of ids)
    await stack.create({ leaseId, bundle: 'hello', attempts: 1, job: { command: ['sh', '-c', 'sleep 0.2'] } });
  const ended = await Promise.all(ids.map((leaseId) => stack.wait(leaseId, 'gone')));
  expect(ended.map(({ state, attempts }) => [state, attempts.length])).toEqual(ids.map(() => ['released', 1]));
  const readyAt = ended.map(({ times }) => Date.parse(times.ready ?? ''));
  expect(Math.max(...readyAt)).toBeGreaterThan(Math.min(...readyAt));
  expect(await status()).toMatchObject({ inUse: { machines: 0 }, waiting: [], healed: 0 });
});

test('a place without capacity is left for the next one, and comes back when it has cooled down', async () => {
  const one = join(stack.state, 'local', 'named', 'one', 'local');
  turnKnobs(one, { capacity: 0 });
  const lease = async (): Promise<string> => {
    const leaseId = freshId('pair');
    await stack.create({ leaseId, bundle: 'pair', job: { command: ['true'] } });
    return leaseId;
  };
  const first = await lease();
  await until(
    'the stockout is known',
    async () => (await status('shared').catch(() => undefined))?.coolDowns.length === 1,
  );
  const second = await lease();
  const views = await Promise.all([first, second].map((leaseId) => stack.wait(leaseId, 'gone')));
  for (const { state, attempts } of views) {
    expect(state).toBe('released');
    expect(attempts.map(({ provider, reason }) => [provider, reason?.type])).toEqual([
      ['one', 'CapacityUnavailable'],
      ['two', undefined],
    ]);
  }
  // The second one never asked the provider: its account said no.
  expect(views[1]?.attempts[0]?.phases.map(({ phase }) => phase)).not.toContain('provisioning');
  turnKnobs(one, {});
  await until('it has cooled down', async () => (await status('shared')).coolDowns.length === 0);
  const third = await stack.wait(await lease(), 'gone');
  expect(third.attempts.map(({ provider }) => provider)).toEqual(['one']);
  expect(await status('shared')).toMatchObject({ inUse: { machines: 0 }, healed: 0, rate: { callsPerSecond: 50 } });
});

test('a quota that is raised while leases wait serves them, without anybody asking', async () => {
  turnKnobs(join(stack.state, 'local'), {});
  const ids = [freshId('a'), freshId('b'), freshId('c')];
  for (const leaseId of ids) await stack.create({ leaseId, bundle: 'hello' });
  await until('one waits', async () => (await status()).waiting.length === 1);
  await writeFile(join(stack.root, 'slipway.yaml'), settings(3));
  await Promise.all(ids.map((leaseId) => stack.wait(leaseId, 'ready')));
  expect((await status()).held).toHaveLength(3);
  for (const leaseId of ids) await stack.post(`/v1/leases/${leaseId}/release`);
  await Promise.all(ids.map((leaseId) => stack.wait(leaseId, 'gone')));
});
