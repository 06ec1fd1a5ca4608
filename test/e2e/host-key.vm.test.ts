import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { MachineStatus } from '../../src/domain/lease.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { testImage, withoutVms } from '../support/vm-image.ts';

vi.setConfig({ testTimeout: 900_000, hookTimeout: 900_000 });

const limits = 'readyWithinMs: 15m\nprovisionWithinMs: 14m\naccessWithinMs: 14m\nattempts: 1\n';
const variants = 'variants: [{provider: vm, image: debian, memoryMb: 512, cores: 2}]\n';
const bundles = {
  plain: `${variants}${limits}`,
  // cloud-init runs again in the clone, beside a guest that answers already.
  more: `${variants}${limits}userData: {files: [{path: /etc/site.conf, text: "colour = blue\\n"}]}\n`,
  posted: `${variants}${limits}hostKey: checkin\n`,
  shown: `${variants}${limits}hostKey: console\n`,
};

describe.skipIf(withoutVms())('a real VM', () => {
  let stack: TestStack;
  beforeAll(async () => {
    const images = { debian: { ...(await testImage()), warm: true } };
    const providers = { vm: { type: 'qemu', accelerator: 'tcg', images } };
    stack = await startTestStack({ settings: JSON.stringify({ providers }), bundles, patienceMs: 300_000 });
  });
  afterAll(() => stack?.stop());

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

  it.each([
    ['plain', 'provider'],
    ['more', 'rotated'],
  ] as const)(
    'that is a clone (%s) makes a host key of its own, and has it still when it has booted again',
    async (bundle, pin) => {
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
    },
  );

  it.each([
    ['posted', 'checkin'],
    ['shown', 'console'],
  ] as const)('that makes its key as it boots is known by what it has %s', async (bundle, pin) => {
    const leaseId = await ready(bundle);
    const { access, facts } = await machineOf(leaseId);
    expect([access?.pin, facts['template']]).toEqual([pin, undefined]);
    expect((await told(leaseId, 'key', served)).split('\n')[0]).toBe(access?.hostKey);
    await gone(leaseId);
  });
});
