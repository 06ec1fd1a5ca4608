import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { StandingMachine } from '../../src/domain/inventory.ts';
import type { MachineStatus } from '../../src/domain/lease.ts';
import type { PoolStatus } from '../../src/domain/pool-status.ts';
import { sshdPath } from '../support/sshd.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { startMachines } from '../support/static-lab.ts';
import { until } from '../support/until.ts';

vi.setConfig({ testTimeout: 150_000, hookTimeout: 150_000 });

describe.skipIf(sshdPath === undefined)('a pool of standing machines', () => {
  let lab: Awaited<ReturnType<typeof startMachines>>;
  let stack: TestStack;
  beforeAll(async () => {
    lab = await startMachines(1);
    stack = await startTestStack({
      settings: `providers:\n  lab: {type: static, inventory: ${lab.file}}\npools:\n  racks: {bundle: rack, target: 1, ceiling: 1}\n`,
      bundles: { rack: 'variants:\n  - {provider: lab, labels: {kind: box}}\nreclaim: reset\nreadyWithinMs: 2m\n' },
    });
  });
  afterAll(async () => {
    await stack?.stop();
    await lab?.remove();
  });
  const machine = (): Promise<MachineStatus> => stack.json('/v1/machines/racks+1');
  const isWarm = (uses: number) =>
    until(`racks+1 is warm after ${uses} uses`, async () => {
      const found = await machine().catch(() => undefined);
      return found?.phase === 'warm' && found.pool?.uses === uses;
    });
  const run = async (script: string) => {
    const leaseId = freshId('rack');
    await stack.create({ leaseId, bundle: 'rack', job: { command: ['sh', '-c', script] } });
    const { out, result } = await stack.follow(leaseId);
    expect((await stack.wait(leaseId, 'gone')).attempts).toMatchObject([{ machineId: 'racks+1' }]);
    return { out: out.toString(), exitCode: result?.exitCode };
  };

  it('keeps one under one claim for lease after lease, clean each time, and gives it back when it is drained', async () => {
    await isWarm(0);
    const standing = (): Promise<readonly StandingMachine[]> => stack.json('/v1/providers/lab/machines');
    expect(await standing()).toMatchObject([{ name: 'box1', state: 'taken', machineId: 'racks+1' }]);
    expect(await run('echo mine >~/mine; echo done')).toEqual({ out: 'done\n', exitCode: 0 });
    await isWarm(1);
    expect(await run('cat ~/mine')).toMatchObject({ exitCode: 1 });
    await isWarm(2);
    expect(await machine()).toMatchObject({ generation: 3, decision: { do: 'reset' } });
    expect(await stack.json<PoolStatus>('/v1/pools/racks')).toMatchObject({ state: 'open' });
    await stack.post('/v1/pools/racks/drain');
    await until('box1 is free', async () => (await standing()).every(({ state }) => state === 'free'));
  });
});
