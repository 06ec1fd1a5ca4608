import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { isRoot } from '../support/local-machines.ts';
import { blankDisk, qemuBench, writingDisk, type QemuBench } from '../support/qemu-machines.ts';
import { withoutQemu } from '../support/vm-image.ts';

const files = mkdtempSync(join(tmpdir(), 'slipway-qemu-full-'));
afterAll(() => rmSync(files, { recursive: true, force: true }));

/** Little more than a machine must find free. */
describe.skipIf(withoutQemu() || !isRoot)('a disk that is full', () => {
  const onSmallDisk = async (file: string, size: object, work: (own: QemuBench, folder: string) => Promise<void>) => {
    const folder = mkdtempSync(join(files, 'full-'));
    execFileSync('sh', ['-c', `mount -t tmpfs -o size=280m,nr_inodes=500 slipway ${folder}`]);
    const images = { small: { file } };
    const own = qemuBench({ images, accelerator: 'tcg' }, { image: 'small', memoryMb: 64, ...size }, folder);
    try {
      await work(own, folder);
    } finally {
      await own.close();
      execFileSync('sh', ['-c', `umount ${folder}`]);
    }
  };

  it('refuses a machine, of which nothing is left, and lets go of one that is there', () =>
    onSmallDisk(blankDisk(files), {}, async (own, folder) => {
      const { key, ref } = await own.make();
      const filler = join(folder, 'filler');
      // Not a byte is free, and no file.
      execFileSync('sh', ['-c', `dd if=/dev/zero of=${filler} bs=1M 2>/dev/null; true`]);
      execFileSync('sh', ['-c', `n=0; while touch ${filler}.$n 2>/dev/null; do n=$((n + 1)); done`]);
      await expect(own.make()).rejects.toMatchObject({
        type: 'CapacityUnavailable',
        message: 'The disk of the state folder is full.',
      });
      expect(await own.remains()).toHaveLength(2);
      await own.destroyed(ref);
      expect(await own.remains()).toEqual([]);
      rmSync(filler);
      await expect(own.make(key)).rejects.toMatchObject({ type: 'Gone' });
    }));

  it(
    'stops the machine that fills it as it boots, which says why; another is made when that is gone',
    () =>
      onSmallDisk(writingDisk(files), { diskGb: 1 }, async (own, folder) => {
        const { ref } = await own.make();
        const filler = join(folder, 'filler');
        execFileSync('sh', ['-c', `dd if=/dev/zero of=${filler} bs=1M count=240 2>/dev/null; true`]);
        const fault = 'the disk of the host is full, or fails';
        const stopped = { state: 'stopped', fault, facts: { why: fault } };
        expect(await own.seen(ref, 'stopped', 60_000)).toMatchObject(stopped);
        await expect(own.make()).rejects.toMatchObject({ type: 'CapacityUnavailable' });
        // It goes on where it stood, and stands still again.
        await own.provider.power?.(ref, 'reset', own.signal());
        expect(await own.seen(ref, 'stopped', 60_000)).toMatchObject(stopped);
        await own.destroyed(ref);
        expect(await own.remains()).toEqual([]);
        rmSync(filler);
        await own.destroyed((await own.make()).ref);
      }),
    120_000,
  );
});
