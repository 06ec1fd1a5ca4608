import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { conformanceCases } from '../../src/providers/conformance/cases.ts';
import { qemuProgram } from '../../src/providers/qemu/arguments.ts';
import type { ImageSettings, QemuSettings } from '../../src/providers/qemu/settings.ts';
import { withQmp } from '../../src/providers/qemu/qmp.ts';
import { until } from '../support/local-machines.ts';
import { blankDisk, qemuBench, type QemuBench } from '../support/qemu-machines.ts';
import { withoutQemu } from '../support/vm-image.ts';

const skips = withoutQemu();
// Not as the file is read: of a run that is for others of these tests, nobody clears away.
let files: string;
let blank: string;
beforeAll(() => {
  files = mkdtempSync(join(tmpdir(), 'slipway-qemu-images-'));
  blank = blankDisk(files);
});
afterAll(() => rmSync(files, { recursive: true, force: true }));
const small = { image: 'blank', memoryMb: 64 };
const bench = (settings: Partial<QemuSettings> = {}): QemuBench =>
  qemuBench({ images: { blank: { file: blank } }, accelerator: 'tcg', ...settings }, small);

/** Machines without a system: their firmware finds nothing to boot. */
describe.skipIf(skips)('the conformance kit on qemu', () => {
  let own: QemuBench;
  beforeAll(() => {
    own = bench();
  });
  afterAll(() => own.close());
  for (const { title, run } of conformanceCases) it(title, () => run(own.subject()), 60_000);
});

describe.skipIf(skips)('a machine of qemu', () => {
  const benches: QemuBench[] = [];
  afterEach(async () => {
    for (const each of benches.splice(0)) {
      await each.close();
      expect(await each.remains()).toEqual([]);
    }
  });
  const on = (settings?: Partial<QemuSettings>): QemuBench => {
    const made = bench(settings);
    benches.push(made);
    return made;
  };

  it('outlives the client that made it, and is found by another with its way in', async () => {
    const { provider, again, make, signal, key } = { ...on(), key: 'kept' };
    const { ref } = await make(key);
    const before = await provider.get(ref, signal());
    await provider.close();
    const other = again();
    expect(await other.findByKey(key, signal())).toEqual(ref);
    expect(await other.get(ref, signal())).toEqual(before);
    expect(before).toMatchObject({ state: 'running', access: { address: '127.0.0.1', user: 'debian' } });
  });

  it('has the accelerator that a probe proves, where the settings name none', async () => {
    const own = qemuBench({ images: { blank: { file: blank } } }, small);
    benches.push(own);
    // Each check probes anew, and a KVM may work one time and not the next: machines have what was proven last.
    const { items } = await own.provider.check(own.signal());
    const proven = items.find(({ name }) => name === 'accelerator');
    const { ref } = await own.make();
    const { facts } = await own.seen(ref, 'running');
    expect(proven).toMatchObject({ ok: true, text: expect.stringMatching(/^(tcg|kvm|hvf) \(.+\)$/) });
    expect(proven?.text.startsWith(facts?.['accelerator'] ?? '?')).toBe(true);
  }, 60_000);

  it('ends what a probe has left whose process was killed, before it probes anew', async () => {
    const { folder, provider, signal } = on();
    await provider.check(signal());
    const name = `slipway-probe-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`;
    const left = spawn(qemuProgram(process.arch), ['-name', name, '-display', 'none', '-nodefaults', '-S'], {
      stdio: 'ignore',
    });
    const ended = once(left, 'exit');
    await provider.check(signal());
    expect(await ended).toEqual([null, 'SIGKILL']);
  }, 60_000);

  it('whose QEMU is killed behind our back is stopped, says so, and can be switched on and destroyed', async () => {
    const { provider, make, signal, pidOf, seen, destroyed } = on();
    const { ref } = await make();
    const { access } = await provider.get(ref, signal());
    process.kill(pidOf(ref), 'SIGKILL');
    expect(await seen(ref, 'stopped')).toMatchObject({
      facts: { why: expect.stringContaining('its QEMU has ended') },
    });
    await provider.power?.(ref, 'on', signal());
    expect(await provider.get(ref, signal())).toMatchObject({ state: 'running', access });
    await destroyed(ref);
  });

  it('is switched off and on and reset, any number of times', async () => {
    const { provider, make, signal, pidOf } = on();
    const { ref } = await make();
    const first = pidOf(ref);
    await provider.power?.(ref, 'on', signal());
    await provider.power?.(ref, 'reset', signal());
    expect(pidOf(ref)).toBe(first);
    await provider.power?.(ref, 'off', signal());
    await provider.power?.(ref, 'off', signal());
    expect(await provider.get(ref, signal())).toMatchObject({
      state: 'stopped',
      facts: { why: 'it was switched off' },
    });
    await provider.power?.(ref, 'reset', signal());
    expect(await provider.get(ref, signal())).toMatchObject({ state: 'running', facts: { boots: '2' } });
    const gone = { machine: '0123456789abcdef', key: 'gone' };
    await expect(provider.power?.(gone, 'on', signal())).rejects.toMatchObject({ type: 'Gone' });
    await expect(provider.console?.(gone, 10, signal())).rejects.toMatchObject({ type: 'Gone' });
  });

  it('that runs while its record says off, for a kill in the middle of a switch, is switched on all the same', async () => {
    const { folder, provider, make, signal, pidOf } = on();
    const { ref } = await make();
    const first = pidOf(ref);
    const record = join(folder, 'm', ref['machine'] ?? '', 'machine.json');
    writeFileSync(record, readFileSync(record, 'utf8').replace('"phase":"on"', '"phase":"off"'));
    expect(await provider.get(ref, signal())).toMatchObject({ state: 'stopped' });
    await provider.power?.(ref, 'on', signal());
    expect(await provider.get(ref, signal())).toMatchObject({ state: 'running' });
    expect(pidOf(ref)).not.toBe(first);
  });

  it('that is stopped in the middle (SIGSTOP) is running, for nobody knows better, and is destroyed all the same', async () => {
    const { provider, make, signal, pidOf, destroyed } = on();
    const { ref } = await make();
    process.kill(pidOf(ref), 'SIGSTOP');
    expect(await provider.get(ref, signal())).toMatchObject({ state: 'running' });
    await expect(provider.power?.(ref, 'reset', signal())).rejects.toMatchObject({ type: 'ProviderUnavailable' });
    await destroyed(ref);
  }, 60_000);

  it('whose port is taken by another program has another one', async () => {
    const { provider, make, signal, destroyed } = on();
    const first = await make('port');
    const { access } = await provider.get(first.ref, signal());
    await destroyed(first.ref);
    const squatter = createServer().listen(access?.port, '127.0.0.1');
    try {
      const other = on();
      const { ref } = await other.make('port');
      const view = await other.provider.get(ref, signal());
      expect(view).toMatchObject({ state: 'running', access: { port: (access?.port ?? 0) + 1 } });
    } finally {
      squatter.close();
    }
  });

  it('is not made beyond the room of the host, and takes none when it is refused', async () => {
    const { provider, make, installation, signal, destroyed } = on({ machines: 1 });
    const { ref } = await make();
    await expect(make()).rejects.toMatchObject({
      type: 'CapacityUnavailable',
      message: 'Provider qemu has no room for this machine: 1 of 1 machines are there.',
    });
    expect(await provider.list(installation, signal())).toHaveLength(1);
    await destroyed(ref);
    await make();
  });

  it('has its user-data, which is read back and changed', async () => {
    const { provider, make, signal } = on();
    const { ref } = await make('data', { userData: '#cloud-config\n{}\n' });
    expect(await provider.userData?.read(ref, signal())).toBe('#cloud-config\n{}\n');
    await provider.userData?.update(ref, '#cloud-config\n{"hostname":"other"}\n', signal());
    expect(await provider.userData?.read(ref, signal())).toContain('other');
    const tooLong = provider.userData?.update(ref, 'x'.repeat(1_048_577), signal());
    await expect(tooLong).rejects.toMatchObject({ type: 'InvalidRequest' });
  });

  it('without user-data gets a document with its identity', async () => {
    const { provider, make, signal, keys } = on();
    const { ref } = await make('own');
    const [head, body = ''] = ((await provider.userData?.read(ref, signal())) ?? '').split('\n');
    expect(head).toBe('#cloud-config');
    expect(JSON.parse(body)).toMatchObject({
      hostname: 'own',
      ssh_deletekeys: true,
      ssh_keys: { ed25519_private: keys.hostKey.privateKey, ed25519_public: keys.hostKey.publicKey },
      ssh_authorized_keys: [keys.clientKey.publicKey],
    });
  });

  it('becomes an image while it runs and when it is off, once for each name', async () => {
    const { provider, make, signal, spec, tags, destroyed } = on();
    const images = provider.images;
    const { ref } = await make();
    const image = await images?.capture(ref, 'mine', signal());
    expect(image).toMatchObject({ name: 'mine', source: 'captured' });
    expect(await images?.capture(ref, 'mine', signal())).toEqual(image);
    await provider.power?.(ref, 'off', signal());
    expect(await images?.capture(ref, 'off', signal())).toMatchObject({ name: 'off' });
    const other = await make();
    await expect(images?.capture(other.ref, 'mine', signal())).rejects.toMatchObject({ type: 'IdConflict' });
    await expect(images?.capture(ref, 'blank', signal())).rejects.toMatchObject({ type: 'IdConflict' });

    const variant = { ...small, image: 'mine' };
    const clone = await provider.create('of-mine', { ...spec('of-mine'), variant }, tags('of-mine'), signal());
    await expect(images?.remove('mine', signal())).rejects.toMatchObject({ type: 'InvalidRequest' });
    await destroyed(clone);
    await images?.remove('mine', signal());
    await images?.remove('mine', signal());
    await expect(images?.resolve('mine', signal())).rejects.toMatchObject({ type: 'NotFound' });
    await expect(images?.remove('blank', signal())).rejects.toMatchObject({ type: 'InvalidRequest' });
  }, 60_000);
});

describe.skipIf(skips)('an image that is taken of a machine', () => {
  it('is none when the machine goes meanwhile, or is being made, and leaves nothing', async () => {
    const large = join(files, 'large.raw');
    // Large enough that its copy takes longer than the end of its machine.
    execFileSync('sh', [
      '-c',
      `cp ${blank} ${large}; dd if=/dev/urandom of=${large} bs=1M seek=1 count=400 2>/dev/null`,
    ]);
    const own = bench({ images: { blank: { file: large } } });
    const { folder, provider, make, signal, destroyed } = own;
    const captured = join(folder, 'captured');
    try {
      const { ref } = await make();
      await provider.power?.(ref, 'off', signal());
      const taking = expect(provider.images?.capture(ref, 'one', signal())).rejects.toMatchObject({ type: 'Gone' });
      await until(
        async () => existsSync(join(captured, '.new-one', 'disk.qcow2')) || undefined,
        () => 'no capture has begun',
      );
      await destroyed(ref);
      await taking;
      expect(readdirSync(captured)).toEqual([]);

      const other = (await make()).ref;
      const record = join(folder, 'm', other['machine'] ?? '', 'machine.json');
      const text = readFileSync(record, 'utf8');
      writeFileSync(record, text.replace('"phase":"on"', '"phase":"making"'));
      await expect(provider.images?.capture(other, 'two', signal())).rejects.toMatchObject({
        type: 'InvalidRequest',
        message: expect.stringMatching(/^Machine .* is being made\.$/),
      });
      writeFileSync(record, text);
      expect(readdirSync(captured)).toEqual([]);
    } finally {
      await own.close();
      rmSync(large);
    }
  }, 60_000);

  it('by a process that was killed over it is cleared away by the next one, with the job that QEMU goes on with', async () => {
    const own = bench();
    const { folder, provider, make, signal } = own;
    try {
      const { ref } = await make();
      const machine = ref['machine'] ?? '';
      const part = join(folder, 'captured', '.new-left');
      mkdirSync(part, { recursive: true });
      writeFileSync(join(part, 'of'), `${machine}.1`);
      const asked = <T>(command: string, args?: Readonly<Record<string, unknown>>) =>
        withQmp(join(folder, 'm', machine, 'qmp'), signal(), async (qmp) => (await qmp.execute(command, args)) as T);
      await asked('drive-backup', {
        'job-id': 'capture',
        device: 'disk',
        target: join(part, 'disk.qcow2'),
        format: 'qcow2',
        sync: 'full',
        'auto-dismiss': false,
      });
      const after = own.again();
      await after.list(own.installation, signal());
      expect(await asked('query-jobs')).toEqual([]);
      expect(readdirSync(join(folder, 'captured'))).toEqual([]);
      expect(await provider.images?.capture(ref, 'left', signal())).toMatchObject({ name: 'left' });
      expect(readdirSync(join(folder, 'captured', 'left')).toSorted()).toEqual(['disk.qcow2', 'image.json']);
    } finally {
      await own.close();
    }
  }, 60_000);
});

describe.skipIf(skips)('an image', () => {
  const refused = async (image: ImageSettings) => {
    const own = bench({ images: { blank: image } });
    try {
      const error = await own.make().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(await own.remains()).toEqual([]);
      expect((await own.provider.check(own.signal())).ok).toBe(error === undefined || image.url !== undefined);
      return error;
    } finally {
      await own.close();
    }
  };

  it('that is not there, is none, or has another checksum is refused before anything is made', async () => {
    expect(await refused({ file: join(files, 'nowhere') })).toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining('is not there'),
      hint: expect.stringContaining('`file` in slipway.yaml'),
    });
    const page = join(files, 'page.html');
    writeFileSync(page, '<html>The image has moved.</html>'.repeat(10_000));
    expect(await refused({ file: page })).toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining('is not an image'),
    });
    expect(await refused({ file: blank, sha256: '0'.repeat(64) })).toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringMatching(/has the sha256 [0-9a-f]{64}, and slipway.yaml says 0{64}/),
    });
  });

  it('of a URL is fetched once for many machines, and not kept when it is another', async () => {
    const bytes = Buffer.alloc(1_048_576);
    bytes.writeUInt16BE(0x55aa, 510);
    let asked = 0;
    const server = createServer((_request, response) => {
      asked += 1;
      response.end(bytes);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`;
    const sha512 = createHash('sha512').update(bytes).digest('hex');
    const own = bench({ images: { blank: { url, sha512 } } });
    const fetched = join(own.folder, 'fetched');
    mkdirSync(fetched, { recursive: true });
    writeFileSync(join(fetched, '.part-1-left'), 'of a process that was killed');
    try {
      await Promise.all([own.make(), own.make()]);
      expect(asked).toBe(1);
      expect(readdirSync(fetched)).toEqual([`${sha512.slice(0, 40)}.img`]);
      expect(await refused({ url, sha512: 'a'.repeat(128) })).toMatchObject({ type: 'InvalidRequest' });
      expect(await refused({ url: url.replace(/:\d+/, ':1'), sha512 })).toMatchObject({
        type: 'ProviderUnavailable',
      });
    } finally {
      await own.close();
      server.close();
    }
  });

  it('that a variant names and nobody knows is refused with those that there are', async () => {
    const own = bench();
    try {
      await expect(own.make('x', { variant: { image: 'debain' } })).rejects.toMatchObject({
        type: 'InvalidRequest',
        message: 'Provider qemu has no image "debain".',
        hint: 'it has blank',
      });
    } finally {
      await own.close();
    }
  });
});
