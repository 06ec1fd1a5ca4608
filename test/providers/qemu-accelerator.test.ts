import { chmodSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { alive } from '../support/stack.ts';
import { blankDisk, qemuBench, type QemuBench } from '../support/qemu-machines.ts';
import { until } from '../support/until.ts';
import { withoutQemu } from '../support/vm-image.ts';

/** Where a stand-in of QEMU lies, which does with KVM what a test says. */
const bin = await vi.hoisted(async () => {
  const { mkdtempSync } = await import('node:fs');
  const { tmpdir } = await import('node:os');
  return mkdtempSync(`${tmpdir()}/slipway-kvm-`);
});
vi.mock(import('../../src/providers/qemu/process.ts'), async (original) => {
  const real = await original();
  const { PATH } = real.toolEnvironment;
  // Of the probe and of the look for programs: machines are started by the real one.
  return { ...real, toolEnvironment: { ...real.toolEnvironment, PATH: `${bin}:${PATH}` as typeof PATH } };
});

const standIn = `#!/bin/sh
echo $$ >>${bin}/probes
`;
const proves = "echo 'No bootable device.'; exec sleep 600\n";

describe.skipIf(withoutQemu() || process.arch !== 'x64' || process.platform !== 'linux')('a KVM', () => {
  let own: QemuBench;
  const blank = blankDisk(bin);
  const small = { image: 'blank', memoryMb: 64 };
  beforeEach(() => {
    own = qemuBench({ images: { blank: { file: blank } } }, small);
  });
  afterEach(() => own.close());
  afterAll(() => rmSync(bin, { recursive: true, force: true }));

  const kvm = (does: string): void => {
    rmSync(join(bin, 'probes'), { force: true });
    writeFileSync(join(bin, 'qemu-system-x86_64'), `${standIn}${does}`);
    chmodSync(join(bin, 'qemu-system-x86_64'), 0o755);
  };
  const probes = (): readonly number[] => readFileSync(join(bin, 'probes'), 'utf8').trim().split('\n').map(Number);
  const checked = async (of = own) => {
    const { items, ...check } = await of.provider.check(of.signal());
    await until('no probe is left', () => !probes().some(alive), 10_000);
    return { ...check, accelerator: items.find(({ name }) => name === 'accelerator') };
  };

  it.each([
    ['hangs', 1, 'exec sleep 600\n', 'KVM is there and does not work: a probe hung for 4 s in its firmware'],
    [
      'runs one guest and hangs the next',
      2,
      `[ $(wc -l <${bin}/probes) = 2 ] && exec sleep 600\n${proves}`,
      'KVM is there and does not work: a probe hung for 4 s in its firmware',
    ],
    [
      'refuses its guest',
      1,
      'echo "failed to initialize kvm: Permission denied" >&2; exit 1\n',
      'no KVM: failed to initialize kvm: Permission denied',
    ],
    ['kills its guest without a word', 1, 'kill -KILL $$\n', 'no KVM: a probe ended at once'],
  ])(
    'that %s is not used, and a check says why',
    async (_, tries, does, why) => {
      kvm(does);
      expect(await checked()).toMatchObject({
        ok: true,
        summary: 'translated, without an accelerator; 1 images, 0 machines',
        accelerator: { ok: true, text: `tcg (${why})` },
      });
      expect(probes()).toHaveLength(tries);
      // What was found is kept: the next machine does not wait for a probe.
      const { ref } = await own.make();
      expect(await own.seen(ref, 'running')).toMatchObject({ facts: { accelerator: 'tcg' } });
      expect(probes()).toHaveLength(tries);
      await own.destroyed(ref);
      expect(await own.remains()).toEqual([]);
    },
    60_000,
  );

  it('that a machine would be the first to meet is probed before that', async () => {
    kvm('exec sleep 600\n');
    const { ref } = await own.make();
    expect(await own.seen(ref, 'running')).toMatchObject({ facts: { accelerator: 'tcg' } });
    expect(probes()).toHaveLength(1);
  }, 60_000);

  it('that runs every probe to its end is used', async () => {
    kvm(proves);
    expect(await checked()).toMatchObject({
      accelerator: { ok: true, text: 'kvm (KVM ran its probes to their end)' },
    });
    expect(probes()).toHaveLength(3);
  });

  it('that slipway.yaml insists on and that does not work is a mistake', async () => {
    kvm('exec sleep 600\n');
    const insists = qemuBench({ images: { blank: { file: blank } }, accelerator: 'kvm' }, small);
    try {
      expect(await checked(insists)).toMatchObject({
        ok: false,
        accelerator: {
          ok: false,
          text: expect.stringMatching(/^kvm, as slipway.yaml says \(KVM is there and does not/),
        },
      });
    } finally {
      await insists.close();
    }
  });
});
