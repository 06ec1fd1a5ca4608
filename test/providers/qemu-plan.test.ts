import { mkdtempSync, readdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { once } from 'node:events';
import { createServer as createHttpServer } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { qemuArguments, type Launch } from '../../src/providers/qemu/arguments.ts';
import { answerOf, readAnswer } from '../../src/providers/qemu/clone.ts';
import { fetchFile } from '../../src/providers/qemu/image-fetch.ts';
import { freePort } from '../../src/providers/qemu/machines.ts';
import { withQmp } from '../../src/providers/qemu/qmp.ts';
import { checkDisk, checkSpec, lacksRoom, limitsOf } from '../../src/providers/qemu/variant.ts';

const launch: Launch = {
  name: 'slipway-0',
  uuid: '00000000-0000-4000-8000-000000000000',
  mac: '52:54:00:00:00:01',
  folder: '/state/a,b',
  hardware: { arch: 'x64', accelerator: 'tcg', cores: 2, memoryMb: 512, boot: {} },
  port: 20_001,
};
const spec = { hostname: 'box', hostKey: '', authorizedKeys: [] };

describe('QEMU’s arguments', () => {
  it('lead one port of loopback to the guest, and keep commas of a path', () => {
    const words = qemuArguments(launch);
    expect(words).toContain('user,id=net,hostfwd=tcp:127.0.0.1:20001-:22');
    expect(words).toContain('file,id=console,path=/state/a,,b/console,append=on');
    expect(words.join(' ')).toContain('"dir":"/state/a,b/seed","label":"cidata"');
  });

  it('translate with the measured flags where no accelerator works, and use the host’s processor where one does', () => {
    expect(qemuArguments(launch).join(' ')).toContain('-accel tcg,thread=multi,tb-size=128 -cpu max');
    const kvm = { ...launch, hardware: { ...launch.hardware, accelerator: 'kvm' } } as const;
    expect(qemuArguments(kvm).join(' ')).toContain('-accel kvm -cpu host');
  });

  it('boot a kernel where the image has no boot loader', () => {
    const boot = { kernel: '/k', initrd: '/i', append: 'quiet' };
    const words = qemuArguments({ ...launch, hardware: { ...launch.hardware, boot } }).join(' ');
    expect(words).toContain('-kernel /k -append quiet -initrd /i');
  });
});

describe('a variant of qemu', () => {
  it('has an image, and defaults', () => {
    expect(checkSpec('qemu', { ...spec, variant: { image: 'debian' } })).toEqual({
      image: 'debian',
      cores: 1,
      memoryMb: 1_024,
    });
  });

  it('that is wrong is refused with all mistakes', () => {
    const variant = { cores: 0, disk: 3 };
    expect(() => checkSpec('qemu', { ...spec, variant })).toThrow(/image: .*cores: .*disk/s);
  });

  it('whose disk would cut its image is refused with both sizes', () => {
    const wanted = { image: 'debian', cores: 1, memoryMb: 64 };
    const image = { sizeBytes: 2.5 * 1_073_741_824 };
    const cut = 'diskGb 2 is less than image debian has: 2.5 GiB.';
    expect(() => checkDisk({ ...wanted, diskGb: 2 }, image)).toThrow(cut);
    checkDisk({ ...wanted, diskGb: 3 }, image);
    checkDisk(wanted, image);
  });
});

describe('the word of a guest', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'slipway-qemu-answer-'));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is the first that it says, and what root says beyond is cut', async () => {
    expect(await answerOf(folder)).toEqual({ waiting: false, done: false });
    const file = join(folder, 'answer');
    writeFileSync(file, 'done\n');
    truncateSync(file, 1_073_741_824);
    expect(await answerOf(folder)).toEqual({ waiting: false, done: true });
    expect(statSync(file).size).toBe(4_096);
    expect(await answerOf(folder)).toEqual({ waiting: false, done: true });
  });

  it('has its key, unless it was said too late, a second time or not as a key', () => {
    const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGd5';
    expect(readAnswer(`key ${key}\ndone\nkey ssh-ed25519 AAAAother\n`)).toEqual({
      waiting: false,
      done: true,
      hostKey: key,
    });
    for (const text of [`done\nkey ${key}\n`, `key ${key}; rm\ndone\n`, 'key ssh-rsa AAAA\ndone\n'])
      expect(readAnswer(text)).toEqual({ waiting: false, done: true });
    expect(readAnswer(`key ${key}\ndon`)).toEqual({ waiting: false, done: false });
  });
});

describe('an image that is fetched', () => {
  it('from a server that goes silent is given up after the idle limit, names both, and leaves nothing', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'slipway-qemu-fetch-'));
    const server = createHttpServer((request, response) => {
      if (request.url === '/half') response.writeHead(200, { 'content-length': 1_000 }).write('half');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const digest = { algorithm: 'sha256', hex: '0'.repeat(64) } as const;
    try {
      for (const path of ['mute', 'half']) {
        const fetching = fetchFile(
          'debian',
          `${at}/${path}`,
          digest,
          join(folder, 'image'),
          AbortSignal.timeout(20_000),
          {
            idleMs: 200,
          },
        );
        await expect(fetching).rejects.toMatchObject({
          type: 'ProviderUnavailable',
          message: `Image debian could not be fetched from ${at}/${path}: its server sent nothing for 0.2 s.`,
        });
        expect(readdirSync(folder)).toEqual([]);
      }
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(folder, { recursive: true });
    }
  });
});

describe('a talk with QEMU', () => {
  it('that is called off before it begins ends at once, also when nobody answers', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'slipway-qemu-qmp-'));
    const silent = createServer().listen(join(folder, 'qmp'));
    try {
      await once(silent, 'listening');
      const over = AbortSignal.abort(new Error('over'));
      await expect(withQmp(join(folder, 'qmp'), over, () => Promise.resolve())).rejects.toThrow('over');
    } finally {
      silent.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

describe('room', () => {
  const host = { cores: 4, memoryMb: 8_000 };
  it('is most of the host’s memory and each core twice, or what the settings say', () => {
    expect(limitsOf({}, host)).toEqual({ cores: 8, memoryMb: 6_400, machines: Infinity });
    expect(limitsOf({ cores: 3, machines: 2 }, host)).toEqual({ cores: 3, memoryMb: 6_400, machines: 2 });
  });

  it('ends with the memory, the cores or the number of machines, and says which', () => {
    const limits = { cores: 4, memoryMb: 2_000, machines: 3 };
    const one = { cores: 1, memoryMb: 900 };
    expect(lacksRoom(one, [one], limits)).toBeUndefined();
    expect(lacksRoom(one, [one, one], limits)).toBe('900 more MiB of memory do not fit: 1800 of 2000 are in use');
    expect(lacksRoom(one, [one], limits, [one])).toContain('1800 of 2000 are in use');
    expect(lacksRoom({ cores: 4, memoryMb: 1 }, [one], limits)).toBe('4 more cores do not fit: 1 of 4 are in use');
    expect(lacksRoom({ cores: 0, memoryMb: 0 }, [one, one, one], limits)).toBe('3 of 3 machines are there');
  });

  it('has a port for each machine, which goes past those that are taken', () => {
    const first = freePort('00000001aaaaaaaa', () => false);
    expect(freePort('00000001aaaaaaaa', (port) => port === first)).toBe(first + 1);
    expect(freePort(`${(11_999).toString(16).padStart(8, '0')}aaaaaaaa`, (port) => port === 31_999)).toBe(20_000);
    expect(() => freePort('00000001aaaaaaaa', () => true)).toThrow('are taken');
  });
});
