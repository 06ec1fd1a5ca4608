import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { conformanceCases } from '../../src/providers/conformance/cases.ts';
import { newKeys } from '../support/local-machines.ts';
import { qemuBench, type QemuBench } from '../support/qemu-machines.ts';
import { withoutVms } from '../support/vm-image.ts';
import { shareTemplates, tellConsoles, vmSettings, vmSize } from '../support/vm-lab.ts';

vi.setConfig({ testTimeout: 900_000, hookTimeout: 900_000 });

const skips = withoutVms();

describe.skipIf(skips)('a real VM', () => {
  let bench: QemuBench;
  beforeAll(async () => {
    bench = qemuBench(vmSettings(), { image: 'cold', ...vmSize });
  });
  afterAll(() => bench?.close());
  tellConsoles(() => bench.folder);

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

describe.skipIf(skips)('clones of a warm image', () => {
  let bench: QemuBench;
  beforeAll(async () => {
    bench = qemuBench({ ...vmSettings(), cores: 16 }, { image: 'debian', ...vmSize });
    shareTemplates(bench.folder);
    const { ref } = await bench.make();
    await bench.destroyed(ref);
  });
  afterAll(() => bench?.close());
  tellConsoles(() => bench.folder);

  // Two at once are what two cores carry; these have three.
  const few = conformanceCases.filter(({ title }) => !/^(nothing is left|a list has every machine)/.test(title));
  for (const { title, run } of few)
    it(title, () => run({ ...bench.subject(), guests: true, withinMs: 300_000 }), 600_000);

  it('have keys, names, ids, random numbers and a clock of their own, before they are running', async () => {
    const seen = [];
    for (const key of ['one', 'two']) {
      const keys = newKeys();
      const { ref } = await bench.make(key, {
        hostKey: keys.hostKey.privateKey,
        authorizedKeys: [keys.clientKey.publicKey],
      });
      const look =
        'uname -n; cat /etc/machine-id /proc/sys/kernel/random/boot_id; head -c 16 /dev/urandom | od -An -tx1; cat ~/.ssh/authorized_keys; date +%s';
      const [name, ...lines] = (await bench.sh(ref, look, keys)).trim().split('\n');
      const clock = Number(lines.pop());
      expect(name).toBe(key);
      expect(lines.pop()).toBe(keys.clientKey.publicKey);
      expect(Math.abs(clock - Date.now() / 1_000)).toBeLessThan(5);
      const { access } = await bench.provider.get(ref, bench.signal());
      expect(access?.hostKey).toMatch(/^ssh-ed25519 /);
      expect(access?.hostKey).not.toBe(keys.hostKey.publicKey.split(' ').slice(0, 2).join(' '));
      seen.push([...lines, access?.hostKey]);
      expect(await bench.sh(ref, 'ls /etc/ssh/ssh_host_*', keys)).toBe(
        '/etc/ssh/ssh_host_ed25519_key\n/etc/ssh/ssh_host_ed25519_key.pub\n',
      );
      await bench.destroyed(ref);
    }
    const [one = [], two = []] = seen;
    expect(one).toHaveLength(4);
    for (const [n, value] of one.entries()) expect(two[n]).not.toBe(value);
  });

  it('run cloud-init once more when their document has more than who they are', async () => {
    const userData = `#cloud-config\n${JSON.stringify({
      hostname: 'more',
      ssh_deletekeys: true,
      ssh_keys: { ed25519_private: bench.keys.hostKey.privateKey, ed25519_public: bench.keys.hostKey.publicKey },
      ssh_authorized_keys: [bench.keys.clientKey.publicKey],
      runcmd: [['sh', '-c', 'uname -n >/var/tmp/ran']],
    })}\n`;
    const { ref } = await bench.make('more', { userData });
    const look = 'n=0; until [ -s /var/tmp/ran ] || [ $n = 300 ]; do n=$((n + 1)); sleep 1; done; cat /var/tmp/ran';
    expect(await bench.sh(ref, look)).toBe('more\n');
    await bench.destroyed(ref);
  });

  it('share one template, which is booted again by nobody, also after a kill of all that made it', async () => {
    const other = bench.again();
    const [image] = (await other.images?.list(bench.signal())) ?? [];
    expect(image).toMatchObject({ name: 'debian', warm: true });
    const began = performance.now();
    const { ref } = await bench.make();
    await bench.seen(ref, 'running');
    // A boot without an accelerator takes longer than this on any computer.
    expect(performance.now() - began).toBeLessThan(15_000);
    await bench.destroyed(ref);
    expect(await bench.remains()).toEqual([]);
  });
});
