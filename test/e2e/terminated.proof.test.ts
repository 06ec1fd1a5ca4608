import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LeaseRequest, MachinePhase, MachineStatus } from '../../src/domain/lease.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

const bare = 'variants:\n  - provider: local\n';
const broken = `${bare}commands:\n  - run: ['false']\n`;
const machineOf = (of: TestStack, leaseId: string) =>
  of.json<MachineStatus>(`/v1/machines/${leaseId}.1`).catch(() => undefined);

let stack: TestStack;
beforeAll(async () => {
  stack = await startTestStack({
    // No sweep helps: its grace outlasts this test. The deadlines of the phases are minutes away.
    tuning: { leaseEveryMs: 300 },
    bundles: {
      slow: 'variants:\n  - provider: local\ncommands:\n  - run: [sh, -c, "while :; do sleep 1; done"]\n',
      manual: 'variants:\n  - provider: local\nready: manual\n',
      bare,
      broken,
      gated: 'variants:\n  - provider: local\nready:\n  command: ["false"]\n  everyMs: 100\n',
    },
  });
});
afterEach(() => stack.knobs({}));
afterAll(() => stack.stop());

const phases: readonly (readonly [MachinePhase, string, Readonly<Record<string, unknown>>])[] = [
  ['provisioning', 'slow', { create: 'before' }],
  ['provisioning', 'slow', { create: 'after' }],
  ['loading', 'slow', { boot: true }],
  ['waiting', 'slow', { login: true }],
  ['customizing', 'slow', {}],
  ['readying', 'manual', {}],
  ['readying', 'gated', {}],
];

it.each(phases)(
  'a lease terminated while its machine is %s (%s, %o): the machine goes by itself',
  async (phase, bundle, gates) => {
    const leaseId = freshId('cut');
    const machine = () => machineOf(stack, leaseId);
    await stack.knobs({ gates });
    await stack.create({ leaseId, bundle });
    await until(`${leaseId} is ${phase}`, async () => (await machine())?.phase === phase);
    await stack.client.workflow.getHandle(`lease/${leaseId}`).terminate('by hand');
    // It has heard of it; what holds a call at the provider holds the destroy no longer.
    await until('its machine leaves', async () => ['reclaiming', 'gone'].includes((await machine())?.phase ?? ''));
    await stack.knobs({});
    await until('its machine is seen gone', async () => (await machine())?.phase === 'gone');
    expect(await stack.machinesLeft()).toEqual([]);
  },
);

/** Leases that have had their machine: it is watched. */
const leased: readonly (readonly [string, MachinePhase, Omit<LeaseRequest, 'leaseId'>])[] = [
  ['is ready', 'ready', { bundle: 'bare' }],
  ['works', 'ready', { bundle: 'bare', job: { command: ['sleep', '600'] } }],
  ['is held after its failure', 'held', { bundle: 'broken', attempts: 1, holdOnFailureMs: 600_000 }],
];

it.each(leased)('a lease terminated while it %s: its machine goes by itself', async (_title, phase, request) => {
  const leaseId = freshId('cut');
  await stack.create({ leaseId, ...request });
  await until(`${leaseId} is ${phase}`, async () => (await machineOf(stack, leaseId))?.phase === phase);
  await stack.client.workflow.getHandle(`lease/${leaseId}`).terminate('by hand');
  await until('its machine is seen gone', async () => (await machineOf(stack, leaseId))?.phase === 'gone');
  expect(await stack.client.workflow.getHandle(`machine/${leaseId}.1`).result()).toMatchObject({ phase: 'gone' });
  expect(await stack.machinesLeft()).toEqual([]);
});

it('a lease terminated while its machine is reclaimed: that goes on', async () => {
  const leaseId = freshId('cut');
  await stack.create({ leaseId, bundle: 'broken', attempts: 2 });
  await stack.knobs({ gates: { destroy: 'before' } });
  await until('it is reclaimed', async () => (await machineOf(stack, leaseId))?.phase === 'reclaiming');
  await stack.client.workflow.getHandle(`lease/${leaseId}`).terminate('by hand');
  await stack.knobs({});
  await until('its machine is seen gone', async () => (await machineOf(stack, leaseId))?.phase === 'gone');
  expect(await stack.machinesLeft()).toEqual([]);
});

describe('where no watch looks at leases', () => {
  let blind: TestStack;
  beforeAll(async () => {
    blind = await startTestStack({
      tuning: { leaseEveryMs: 86_400_000, leaseGraceMs: 1_500 },
      bundles: { bare, broken, short: `${bare}readyWithinMs: 4s\naccessWithinMs: 3s\n` },
    });
  });
  afterAll(() => blind.stop());

  it.each([
    ['ready', { bundle: 'bare', ttlMs: 3_000 }, {}, 'expired'],
    ['held', { bundle: 'broken', attempts: 1, holdOnFailureMs: 3_000 }, {}, 'failed'],
    ['waiting', { bundle: 'short', attempts: 1 }, { login: true }, 'failed'],
  ] as const)(
    'a machine whose lease was terminated while it was %s goes at the deadline that it carries',
    async (phase, request, gates, cause) => {
      const leaseId = freshId('blind');
      await blind.knobs({ gates });
      await blind.create({ leaseId, ...request });
      await until(`${leaseId} is ${phase}`, async () => (await machineOf(blind, leaseId))?.phase === phase);
      const { deadline } = (await machineOf(blind, leaseId)) ?? {};
      await blind.client.workflow.getHandle(`lease/${leaseId}`).terminate('by hand');
      await until('its machine is seen gone', async () => (await machineOf(blind, leaseId))?.phase === 'gone');
      const handle = blind.client.workflow.getHandle(`machine/${leaseId}.1`);
      expect(await handle.result()).toMatchObject({ phase: 'gone', cause });
      const { closeTime } = await handle.describe();
      // A try to log in that would outlast the deadline is not begun.
      expect((closeTime?.getTime() ?? 0) + 1_000).toBeGreaterThanOrEqual(Date.parse(deadline ?? ''));
      await blind.knobs({});
      expect(await blind.machinesLeft()).toEqual([]);
    },
  );
});
