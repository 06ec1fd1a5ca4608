import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MachinePhase } from '../../src/domain/lease.ts';
import { alive, freshId, sha256, startTestStack, type StackProcess, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;
const slow = `variants:
  - provider: local
commands:
  - run: [sh, -c, 'echo step >> $HOME/steps']
    title: count me
`;

beforeAll(async () => {
  stack = await startTestStack({ bundles: { slow } });
});
afterEach(() => stack.knobs({}));
afterAll(() => stack.stop());

/** 400 lines, ten every 50 ms: long enough to be cut in the middle, and known in advance. */
const script =
  'i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; echo oops $i >&2; [ $((i % 10)) -eq 0 ] && sleep 0.05; done; exit 7';
const expected = (word: string): string => Array.from({ length: 400 }, (_, n) => `${word} ${n + 1}\n`).join('');

async function expectWhole(leaseId: string, followed: Awaited<ReturnType<TestStack['follow']>>): Promise<void> {
  expect(sha256(followed.out)).toBe(sha256(expected('line')));
  expect(sha256(followed.err)).toBe(sha256(expected('oops')));
  expect(followed.result).toMatchObject({ state: 'exited', exitCode: 7 });
  expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
  expect(await stack.machinesLeft()).toEqual([]);
}

const phases: readonly (readonly [MachinePhase, Readonly<Record<string, unknown>>])[] = [
  ['provisioning', { create: 'before' }],
  ['provisioning', { create: 'after' }],
  ['loading', { boot: true }],
  ['waiting', { login: true }],
  ['customizing', { exec: true, command: 'slipway' }],
  ['reclaiming', { destroy: 'before' }],
  ['reclaiming', { destroy: 'after' }],
];

describe('the worker killed with -9', () => {
  it.each(phases)('while the machine is %s (%o): the job runs once and nothing is left', async (phase, gates) => {
    const leaseId = freshId('kill');
    const isPhase = async (): Promise<boolean> => (await machinePhase(leaseId)) === phase;
    await stack.knobs({ gates });
    await stack.create({ leaseId, bundle: 'slow', job: { command: ['sh', '-c', script] } });
    await until(`${leaseId} is ${phase}`, isPhase);
    const before = await stack.killHard('worker');
    await until('another worker runs', async () => {
      const now = await stack.pidOf('worker');
      return now !== undefined && now !== before && alive(now);
    });
    await stack.knobs({});
    await expectWhole(leaseId, await stack.follow(leaseId));
  });
});

async function machinePhase(leaseId: string): Promise<MachinePhase | undefined> {
  const machine = await stack.json<{ phase: MachinePhase }>(`/v1/machines/${leaseId}.1`).catch(() => undefined);
  return machine?.phase;
}

describe('in the middle of a job', () => {
  const cases: readonly (readonly StackProcess[])[] = [
    ['worker'],
    ['temporal'],
    ['local'],
    ['worker', 'temporal', 'local'],
  ];
  it.each(cases.map((names) => [names.join(', '), names] as const))(
    '%s killed with -9: each line comes once, the exit is true',
    async (_title, names) => {
      const leaseId = freshId('plug');
      await stack.create({ leaseId, bundle: 'slow', job: { command: ['sh', '-c', script] } });
      let killed = false;
      const followed = await stack.follow(leaseId, 'job', (bytes) => {
        if (killed || bytes < 500) return;
        killed = true;
        for (const name of names) void stack.killHard(name);
      });
      expect(killed).toBe(true);
      await expectWhole(leaseId, followed);
    },
  );

  it('the whole stack killed with -9 and started again: the job goes on where it was', async () => {
    const leaseId = freshId('all');
    await stack.create({ leaseId, bundle: 'slow', job: { command: ['sh', '-c', script] } });
    let killing: Promise<void> | undefined;
    const followed = await stack.follow(leaseId, 'job', (bytes) => {
      if (bytes >= 500) killing ??= stack.killSupervisor().then(() => stack.restart());
    });
    await killing;
    await expectWhole(leaseId, followed);
  });
});

describe('a lease cancelled', () => {
  it.each(phases.filter(([phase]) => phase !== 'reclaiming'))(
    'while its machine is %s (%o): nothing is left',
    async (phase, gates) => {
      const leaseId = freshId('cancel');
      await stack.knobs({ gates });
      await stack.create({ leaseId, bundle: 'slow', attempts: 1 });
      await until(`${leaseId} is ${phase}`, async () => (await machinePhase(leaseId)) === phase);
      await stack.post(`/v1/leases/${leaseId}/cancel`);
      await stack.knobs({});
      expect((await stack.wait(leaseId, 'gone')).state).toBe('cancelled');
      expect(await stack.machinesLeft()).toEqual([]);
    },
  );
});
