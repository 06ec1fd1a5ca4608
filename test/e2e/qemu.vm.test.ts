import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MachineStatus } from '../../src/domain/lease.ts';
import { processesIn } from '../support/qemu-machines.ts';
import { freshId, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { withoutVms } from '../support/vm-image.ts';
import { startVmStack, tellVmStack, vmSize } from '../support/vm-lab.ts';

vi.setConfig({ testTimeout: 900_000, hookTimeout: 120_000 });

describe.skipIf(withoutVms())('leases of real VMs', () => {
  let stack: TestStack;
  beforeAll(async () => {
    const variants = JSON.stringify([{ provider: 'local' }, { provider: 'qemu', image: 'debian', ...vmSize }]);
    stack = await startVmStack({
      bundles: { debian: `variants: ${variants}\nreadyWithinMs: 15m\nprovisionWithinMs: 14m\nattempts: 1\n` },
    });
  });
  afterAll(() => stack?.stop());
  tellVmStack(() => stack);

  const machines = (): string => join(stack.state, 'qemu', 'qemu', 'm');
  const left = (): readonly string[] => [
    ...(existsSync(machines()) ? readdirSync(machines()) : []),
    ...processesIn(machines()),
  ];
  const open = async (command: readonly string[]): Promise<string> => {
    const leaseId = freshId('vm');
    await stack.create({ leaseId, bundle: 'debian', provider: 'qemu', job: { command } });
    return leaseId;
  };
  const machineOf = (leaseId: string): Promise<MachineStatus> => stack.json(`/v1/machines/${leaseId}.1`);
  const working = (leaseId: string) =>
    until(
      'its job says so',
      async () => (await stack.json<{ state: string }>(`/v1/leases/${leaseId}`)).state === 'working',
      840_000,
    );
  /** Of the one machine that there is. */
  const pid = (): number => Number(readFileSync(join(machines(), readdirSync(machines())[0] ?? '', 'pid'), 'utf8'));

  it('run their job on a kernel of their own, and leave nothing', async () => {
    const leaseId = await open(['sh', '-c', 'uname -sn; cat /proc/1/comm; exit 3']);
    const { out, result } = await stack.follow(leaseId);
    expect(out.toString()).toBe(`Linux ${leaseId}-1\nsystemd\n`);
    expect(result?.exitCode).toBe(3);
    expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    expect((await machineOf(leaseId)).facts).toMatchObject({ image: 'debian', template: expect.any(String) });
    expect(left()).toEqual([]);
  });

  it('whose VM is killed in the middle of the job are told that the machine is lost', async () => {
    const leaseId = await open(['sleep', '1000']);
    await working(leaseId);
    process.kill(pid(), 'SIGKILL');
    const view = await stack.wait(leaseId, 'gone');
    expect(view).toMatchObject({ state: 'failed', reason: { type: 'GuestLost' } });
    expect(left()).toEqual([]);
  });

  it('whose VM stands still for a while go on with their job', async () => {
    const leaseId = await open(['sh', '-c', 'for n in 1 2 3 4 5 6; do echo $n; sleep 1; done']);
    await working(leaseId);
    process.kill(pid(), 'SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 4_000));
    process.kill(pid(), 'SIGCONT');
    const { out, result } = await stack.follow(leaseId);
    expect(out.toString()).toBe('1\n2\n3\n4\n5\n6\n');
    expect(result).toMatchObject({ exitCode: 0, lost: false });
    await stack.wait(leaseId, 'gone');
  });

  it('whose VM boots again in the middle of the job are told so', async () => {
    const leaseId = await open(['sh', '-c', 'sync; sudo systemctl reboot --force --force; sleep 1000']);
    const { result } = await stack.follow(leaseId);
    expect(result).toMatchObject({ lost: true, reason: expect.stringContaining('boot') });
    await stack.wait(leaseId, 'gone');
    expect(left()).toEqual([]);
  });

  it('refuse a provider that the bundle has no variant of', async () => {
    await expect(stack.create({ leaseId: freshId('vm'), bundle: 'debian', provider: 'nowhere' })).rejects.toThrow(
      /InvalidRequest.*has no variant of provider nowhere/,
    );
  });
});
