import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { processesIn, writingDisk } from '../support/qemu-machines.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { withoutVms } from '../support/vm-image.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const variants = JSON.stringify([{ provider: 'vm', image: 'writer', memoryMb: 64, diskGb: 1 }]);

describe.skipIf(withoutVms())('a lease whose machine fills the disk of its host as it boots', () => {
  const files = mkdtempSync(join(tmpdir(), 'slipway-full-'));
  let stack: TestStack;
  let folder: string;
  beforeAll(async () => {
    const images = { writer: { file: writingDisk(files) } };
    stack = await startTestStack({
      settings: JSON.stringify({ providers: { vm: { type: 'qemu', accelerator: 'tcg', images } } }),
      bundles: { writer: `variants: ${variants}\nattempts: 2\n` },
      tuning: { providerEveryMs: 500 },
    });
    folder = join(stack.state, 'qemu', 'vm');
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    execFileSync('sh', ['-c', `mount -t tmpfs -o size=280m,mode=700 slipway ${folder}`]);
  });
  afterAll(async () => {
    await stack?.stop({ keep: true });
    execFileSync('sh', ['-c', `umount ${folder}`]);
    for (const each of [stack.root, files]) rmSync(each, { recursive: true });
  });

  it('takes another machine, and when that fails too says why of both, and leaves nothing', async () => {
    const leaseId = freshId('full');
    await stack.create({ leaseId, bundle: 'writer' });
    const { state, reason, attempts } = await stack.wait(leaseId, 'gone');
    const lost = (machine: string) => ({
      type: 'GuestLost',
      message: `Machine ${machine} is stopped at provider vm: the disk of the host is full, or fails.`,
    });
    expect(state).toBe('failed');
    expect(reason).toEqual(lost(`${leaseId}.2`));
    expect(attempts.map((attempt) => [attempt.phase, attempt.reason])).toEqual([
      ['gone', lost(`${leaseId}.1`)],
      ['gone', lost(`${leaseId}.2`)],
    ]);
    expect(readdirSync(join(folder, 'm'))).toEqual([]);
    expect(processesIn(folder)).toEqual([]);
  });
});
