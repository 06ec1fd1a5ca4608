import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { qemuBench, testImage, withoutVms, type QemuBench } from '../support/qemu-machines.ts';

vi.setConfig({ testTimeout: 900_000, hookTimeout: 900_000 });

describe.skipIf(withoutVms())('a real VM', () => {
  let bench: QemuBench;
  beforeAll(async () => {
    bench = qemuBench({ images: { debian: await testImage() } }, { image: 'debian', cores: 2, memoryMb: 512 });
  });
  afterAll(() => bench.close());

  it('boots from an image by cloud-init, is who it should be, and is gone afterwards', async () => {
    const { ref } = await bench.make('real-one');
    expect(await bench.sh(ref, 'uname -s; uname -n; id -un')).toBe('Linux\nreal-one\ndebian\n');
    expect(await bench.sh(ref, 'cloud-init status --wait --long')).toMatch(
      /done[^]*DataSourceNoCloud \[seed=\/dev\/vdb/,
    );
    expect(await bench.provider.console?.(ref, 65_536, bench.signal())).toContain('real-one login:');
    await bench.destroyed(ref);
    expect(await bench.remains()).toEqual([]);
  });
});
