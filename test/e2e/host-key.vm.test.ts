import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MachineStatus } from '../../src/domain/lease.ts';
import { freshId, type TestStack } from '../support/stack.ts';
import { withoutVms } from '../support/vm-image.ts';
import { startVmStack, tellVmStack, vmSize } from '../support/vm-lab.ts';

vi.setConfig({ testTimeout: 900_000, hookTimeout: 120_000 });

const head = `variants: [${JSON.stringify({ provider: 'qemu', image: 'debian', ...vmSize })}]
readyWithinMs: 15m
provisionWithinMs: 14m
accessWithinMs: 14m
attempts: 1
`;
const bundles = {
  plain: head,
  // cloud-init runs again in the clone, beside a guest that answers already.
  more: `${head}userData: {files: [{path: /etc/site.conf, text: "colour = blue\\n"}]}\n`,
  posted: `${head}hostKey: checkin\n`,
  shown: `${head}hostKey: console\n`,
};

/** Two at once: that is what two cores carry. */
describe.skipIf(withoutVms())('a real VM', () => {
  let stack: TestStack;
  beforeAll(async () => {
    stack = await startVmStack({ bundles });
  });
  afterAll(() => stack?.stop());
  tellVmStack(() => stack);

  const machineOf = (leaseId: string): Promise<MachineStatus> => stack.json(`/v1/machines/${leaseId}.1`);
  const ready = async (bundle: keyof typeof bundles): Promise<string> => {
    const leaseId = freshId('vm');
    await stack.create({ leaseId, bundle });
    while ((await stack.wait(leaseId, 'ready')).state === 'acquiring');
    expect((await machineOf(leaseId)).reason).toBeUndefined();
    return leaseId;
  };
  const told = async (leaseId: string, taskId: string, shell: string): Promise<string> => {
    await stack.runTask(leaseId, taskId, { command: { shell } });
    const { out, result } = await stack.follow(leaseId, taskId);
    expect(result).toMatchObject({ exitCode: 0 });
    return out.toString().trim();
  };
  const gone = async (leaseId: string): Promise<void> => {
    await stack.post(`/v1/leases/${leaseId}/release`);
    await stack.wait(leaseId, 'gone');
  };
  const served =
    'sudo ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key | cut -d" " -f1-2; cat /proc/sys/kernel/random/boot_id';

  describe('that is a clone', () => {
    it.concurrent.each([
      ['plain', 'provider'],
      ['more', 'rotated'],
    ] as const)('(%s) makes a host key of its own, and has it still when it has booted again', async (bundle, pin) => {
      const leaseId = await ready(bundle);
      const { access, unrotated } = await machineOf(leaseId);
      expect([access?.pin, unrotated]).toEqual([pin, undefined]);
      const [key, boot] = (await told(leaseId, 'before', served)).split('\n');
      expect(key).toBe(access?.hostKey);
      if (bundle === 'more') await told(leaseId, 'settled', 'cloud-init status --wait >/dev/null; cat /etc/site.conf');
      await stack.post(`/v1/machines/${leaseId}.1/power`, { action: 'reset' });
      const [after, again] = (await told(leaseId, 'after', served)).split('\n');
      expect(after).toBe(key);
      expect(again).not.toBe(boot);
      await gone(leaseId);
    });
  });

  describe('that makes its key as it boots', () => {
    it.concurrent.each([
      ['posted', 'checkin'],
      ['shown', 'console'],
    ] as const)('is known by what it has %s', async (bundle, pin) => {
      const leaseId = await ready(bundle);
      const { access, facts } = await machineOf(leaseId);
      expect([access?.pin, facts['template']]).toEqual([pin, undefined]);
      expect((await told(leaseId, 'key', served)).split('\n')[0]).toBe(access?.hostKey);
      await gone(leaseId);
    });
  });
});
