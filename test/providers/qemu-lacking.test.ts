import { existsSync, rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { qemuBench, type QemuBench } from '../support/qemu-machines.ts';

/** A host on which there is no program at all. */
vi.mock('../../src/host/find-on-path.ts', () => ({ findOnPath: () => undefined }));

let asked = 0;
const server = createServer((_request, response) => {
  asked += 1;
  response.end();
});
let own: QemuBench;
beforeAll(async () => {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`;
  own = qemuBench({ images: { debian: { url, sha512: 'a'.repeat(128) } } }, { image: 'debian' });
});
afterAll(() => {
  server.close();
  rmSync(dirname(own.folder), { recursive: true, force: true });
});

it('a machine is refused without QEMU, with what installs it, before its image is fetched', async () => {
  await expect(own.make()).rejects.toMatchObject({
    type: 'ProviderLacking',
    message: expect.stringMatching(
      /^Provider qemu makes no machines on this host: qemu-system-\w+ and qemu-img not found\.$/,
    ),
    hint: expect.stringMatching(/install .*qemu/),
  });
  expect(asked).toBe(0);
});

it('a check names the programs that are missing and what installs each, and nothing else', async () => {
  const { ok, summary, items } = await own.provider.check(own.signal());
  expect({ ok, summary }).toEqual({ ok: false, summary: 'QEMU is not here' });
  expect(items.map(({ name, ok: good }) => [name, good])).toEqual([
    [expect.stringMatching(/^qemu-system-/), false],
    ['qemu-img', false],
  ]);
  for (const { text } of items) expect(text).toMatch(/^is not there: .*install .*qemu/);
});

it('a look at its machines finds none, and leaves nothing on the disk', async () => {
  expect(await own.provider.list(own.installation, own.signal())).toEqual([]);
  expect(existsSync(own.folder)).toBe(false);
});
