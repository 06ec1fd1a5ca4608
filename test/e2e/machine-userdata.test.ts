import { mkdtempSync, rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { onStack } from '../cli/on-stack.ts';
import { blankDisk } from '../support/qemu-machines.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';
import { withoutQemu } from '../support/vm-image.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

const node = `variants: [{provider: vm, image: blank, memoryMb: 64}]
ready: checkin
userData:
  packages: [nginx]
  raw: {timezone: UTC}
`;

/** Machines without a system: their firmware finds nothing to boot, and their user-data is there all the same. */
describe.skipIf(withoutQemu())('the user-data of a machine of qemu', () => {
  const folder = mkdtempSync(join(tmpdir(), 'slipway-userdata-'));
  const vm = freshId('vm');
  const other = freshId('local');
  const machine = `${vm}.1`;
  let stack: TestStack;
  beforeAll(async () => {
    const images = { blank: { file: blankDisk(folder) } };
    stack = await startTestStack({
      settings: JSON.stringify({ providers: { vm: { type: 'qemu', images, accelerator: 'tcg' } } }),
      bundles: { node, bare: 'variants: [{provider: local}]\n' },
    });
    await stack.create({ leaseId: vm, bundle: 'node' });
    await stack.create({ leaseId: other, bundle: 'bare' });
    await until('it runs', async () => (await stack.get(vm)).machine?.phase === 'waiting');
  });
  afterAll(async () => {
    // A machine of QEMU outlives all of a stack.
    for (const lease of [vm, other]) await stack.post(`/v1/leases/${lease}/cancel`);
    for (const lease of [vm, other]) await stack.wait(lease, 'gone');
    await stack.stop();
    rmSync(folder, { recursive: true });
  });

  const slipway = async (...args: readonly string[]) => (await onStack(stack, args)).ended;
  const changed = async (text: string) => {
    const file = join(folder, 'changed.yaml');
    await writeFile(file, text);
    return slipway('machine', 'userdata', machine, '--from', file);
  };

  it('is shown without its secrets, and is what a person has made of it from then on', async () => {
    const before = await slipway('machine', 'userdata', machine);
    expect(before).toMatchObject({ code: 0, err: '' });
    expect(before.out).toMatch(/^#cloud-config\n/);
    expect(before.out).toMatch(/\npackages:\n {2}- nginx\n/);
    expect(before.out).toMatch(/ ed25519_private: \(secret\)\n/);
    expect(before.out).toMatch(/path: \/var\/lib\/slipway\/boot\/boot-string\n.*\n {4}content: \(secret\)\n/);
    expect(before.out).not.toMatch(/PRIVATE KEY|sha256\/\/[A-Za-z0-9+/]{43}/);

    const edited = before.out.replace('- nginx', '- nginx\n  - curl').replace('timezone: UTC', 'timezone: Europe/Oslo');
    expect(await changed(edited)).toEqual({ code: 0, err: '', out: edited });
    expect((await slipway('machine', 'userdata', machine)).out).toBe(edited);
    expect(JSON.parse((await slipway('machine', 'userdata', machine, '--json')).out)).toMatchObject({
      packages: ['nginx', 'curl'],
    });
  });

  it('is changed to nothing that is no document, or somebody else’s', async () => {
    const before = (await slipway('machine', 'userdata', machine)).out;
    for (const [text, why] of [
      ['- a list\n', /holds no map/],
      ['a: [b\n', /changed.yaml is no YAML/],
      [before.replace(/hostname: .*/, 'hostname: mine'), /hostname is slipway’s to say/],
      [`${before}password: (secret)\n`, /password is \(secret\), and there was none at that place/],
      [`${before}motd: ${'x'.repeat(1_100_000)}\n`, /./],
    ] as const) {
      const { code, err } = await changed(text);
      expect([code, err]).toEqual([2, expect.stringMatching(why)]);
    }
    expect((await slipway('machine', 'userdata', machine)).out).toBe(before);
  });

  it('is nothing that a provider without it could show', async () => {
    await stack.wait(other, 'ready');
    const { code, err } = await slipway('machine', 'userdata', `${other}.1`);
    expect(code).toBe(2);
    expect(err).toContain('Provider local keeps no user-data.');
    expect(err).toContain('vm: slipway provider list names what each can do.');
  });
});
