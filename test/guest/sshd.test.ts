import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stream } from '../../src/domain/task.ts';
import type { Guest, Guests, TaskPoll } from '../../src/guest/guest.ts';
import { createGuests } from '../../src/guest/guests.ts';
import { opensshKeyPair } from '../../src/guest/openssh-key.ts';
import { startSshProxy, type SshProxy } from '../support/ssh-proxy.ts';
import { sshdPath, startSshd, type Sshd } from '../support/sshd.ts';
import { tool, whichTool } from './protocol.ts';

const isRoot = process.getuid?.() === 0;
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const soon = (): AbortSignal => AbortSignal.timeout(25_000);

interface Taken {
  readonly bytes: Record<Stream, Buffer>;
  readonly poll: TaskPoll;
  readonly alive: number[];
}
/** Follows to the end, and demands that every chunk begins where the last one ended. */
async function take(
  guest: Guest,
  key: string,
  from = { stdout: 0, stderr: 0 },
  slow?: () => Promise<void>,
): Promise<Taken> {
  const chunks: Record<Stream, Buffer[]> = { stdout: [], stderr: [] };
  const at = { ...from };
  const alive: number[] = [];
  const poll = await guest.follow(
    key,
    from,
    {
      async data(stream, offset, bytes) {
        expect(offset).toBe(at[stream]);
        at[stream] += bytes.length;
        chunks[stream].push(Buffer.from(bytes));
        await slow?.();
      },
      alive: () => void alive.push(Date.now()),
    },
    soon(),
  );
  return { bytes: { stdout: Buffer.concat(chunks.stdout), stderr: Buffer.concat(chunks.stderr) }, poll, alive };
}

describe.skipIf(sshdPath === undefined)('a guest behind OpenSSH', () => {
  let sshd: Sshd;
  let guests: Guests;
  let guest: Guest;
  const proxied = (): Promise<SshProxy> => startSshProxy({ to: () => ({ host: sshd.address, port: sshd.port }) });
  beforeAll(async () => {
    sshd = await startSshd();
    guests = createGuests({ base: sshd.base });
    guest = guests.at(sshd.at(), sshd.clientKey.privateKey);
  });
  afterAll(async () => {
    await guests.close();
    await sshd.remove();
  });

  describe('the connection', () => {
    it('a probe logs in and tells the facts of the guest', async () => {
      const facts = await guest.probe(soon());
      expect(facts).toEqual({
        kernel: execFileSync('uname', ['-r'], { encoding: 'utf8' }).trim(),
        hostname: execFileSync('uname', ['-n'], { encoding: 'utf8' }).trim(),
        bootId: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
      });
    });

    it('the OpenSSH client takes the same keys', () => {
      const key = join(sshd.home, 'client');
      writeFileSync(key, sshd.clientKey.privateKey, { mode: 0o600 });
      writeFileSync(join(sshd.home, 'known'), `[127.0.0.1]:${sshd.port} ${sshd.hostKey.publicKey}\n`);
      const options = [
        '-F',
        'none',
        '-i',
        key,
        '-o',
        `UserKnownHostsFile=${join(sshd.home, 'known')}`,
        '-o',
        'BatchMode=yes',
      ];
      const target = ['-p', String(sshd.port), `${sshd.user}@127.0.0.1`];
      expect(execFileSync('ssh', [...options, ...target, 'echo in'], { encoding: 'utf8' })).toBe('in\n');
    });

    it('another host key than the pinned one is refused, with both fingerprints', async () => {
      const pinned = opensshKeyPair(randomBytes(32), '');
      const wrong = guests.at({ ...sshd.at('mismatch.1'), hostKey: pinned.publicKey }, sshd.clientKey.privateKey);
      await expect(wrong.probe(soon())).rejects.toMatchObject({
        type: 'HostKeyMismatch',
        message: expect.stringMatching(
          `pinned ${pinned.fingerprint}, served ${sshd.hostKey.fingerprint}`.replaceAll(/[+/]/g, '.'),
        ),
      });
    });

    it('a key that the guest does not know is refused as such', async () => {
      const stranger = guests.at(sshd.at('stranger.1'), opensshKeyPair(randomBytes(32), '').privateKey);
      await expect(stranger.probe(soon())).rejects.toMatchObject({ type: 'SshAuthRefused' });
    });

    it('a port where nobody listens, and one that never answers, are unreachable', async () => {
      const sockets: Socket[] = [];
      const hole = createTcpServer((socket) => void sockets.push(socket));
      await new Promise<void>((resolve) => hole.listen(0, '127.0.0.1', resolve));
      const port = (hole.address() as AddressInfo).port;
      const mute = guests.at({ ...sshd.at('mute.1'), port }, sshd.clientKey.privateKey);
      await expect(mute.probe(AbortSignal.timeout(200))).rejects.toMatchObject({ name: 'TimeoutError' });
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => hole.close(resolve));
      const nobody = guests.at({ ...sshd.at('nobody.1'), port }, sshd.clientKey.privateKey);
      await expect(nobody.probe(soon())).rejects.toMatchObject({ type: 'GuestUnreachable', message: /refused/ });
    });

    it('an unused connection is closed, and the next use opens another', async () => {
      const wire = await proxied();
      const brief = createGuests({ base: sshd.base, idleMs: 20 });
      const address = { ...sshd.at('idle.1'), port: wire.port };
      await brief.at(address, sshd.clientKey.privateKey).probe(soon());
      while (wire.connections() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
      await brief.at(address, sshd.clientKey.privateKey).probe(soon());
      await brief.close();
      await wire.close();
    });

    it('a connection that hangs without a word is noticed by its keepalives', async () => {
      const wire = await proxied();
      const quick = createGuests({ base: sshd.base, keepaliveMs: 100 });
      const far = quick.at({ ...sshd.at('hang.1'), port: wire.port }, sshd.clientKey.privateKey);
      await far.launch('hang/1', { command: ['sleep', '60'] }, soon());
      const handlers = { data: async () => undefined, alive: () => wire.hang() };
      const following = far.follow('hang/1', { stdout: 0, stderr: 0 }, handlers, soon());
      await expect(following).rejects.toMatchObject({ type: 'GuestUnreachable' });
      expect(await far.kill('hang/1', 500, 'cancelled', soon())).toMatchObject({ exitCode: 143 });
      await quick.close();
      await wire.close();
    });

    it('forty commands at once go through eight channels, and a kill does not wait behind ten followers', async () => {
      await Promise.all(
        Array.from({ length: 40 }, (_, index) =>
          guest.launch(`many/${index}`, { command: ['echo', String(index)] }, soon()),
        ),
      );
      const stop = new AbortController();
      const followed = Array.from({ length: 10 }, async (_, index) => {
        await guest.launch(`long/${index}`, { command: ['sleep', '60'] }, soon());
        let alive = (): void => undefined;
        const up = new Promise<void>((resolve) => {
          alive = resolve;
        });
        const over = guest.follow(
          `long/${index}`,
          { stdout: 0, stderr: 0 },
          { data: async () => undefined, alive },
          stop.signal,
        );
        await up;
        return over;
      });
      // Each has its channel: killing each one by one ends each.
      for (let index = 0; index < 10; index += 1)
        await guest.launch(`long/${index}`, { command: ['sleep', '60'] }, soon());
      for (let index = 0; index < 9; index += 1) await guest.kill(`long/${index}`, 1000, 'cancelled', soon());
      expect((await Promise.all(followed.slice(0, 9))).every((poll) => poll.cancelled && poll.state === 'exited')).toBe(
        true,
      );
      stop.abort();
      expect(await followed[9]).toMatchObject({ state: 'running' });
      await guest.kill('long/9', 1000, 'cancelled', soon());
    });
  });

  describe('a task', () => {
    it('is launched, followed and ends; asked again it is the same', async () => {
      const spec = { command: { shell: 'echo out; echo err >&2; exit 7' } };
      await guest.launch('job/1', spec, soon());
      const { bytes, poll } = await take(guest, 'job/1');
      expect(bytes.stdout.toString()).toBe('out\n');
      expect(bytes.stderr.toString()).toBe('err\n');
      expect(poll).toMatchObject({ state: 'exited', exitCode: 7, size: { stdout: 4, stderr: 4 } });
      expect(await guest.launch('job/1', spec, soon())).toEqual(poll);
    });

    it('whose script is not on the guest any more brings it there', async () => {
      for (const name of readdirSync(join(sshd.base, 'bin'))) writeFileSync(join(sshd.base, 'bin', name), '');
      execFileSync('sh', ['-c', 'rm "$0"/bin/*', sshd.base]);
      const fresh = createGuests({ base: sshd.base });
      const again = fresh.at(sshd.at(), sshd.clientKey.privateKey);
      expect((await take(again, 'job/1')).bytes.stdout.toString()).toBe('out\n');
      execFileSync('sh', ['-c', 'rm "$0"/bin/*', sshd.base]);
      expect(await again.launch('job/1', { command: ['true'] }, soon())).toMatchObject({ exitCode: 7 });
      await fresh.close();
    });

    it('that writes now and then is heard at once, and said to be alive meanwhile', async () => {
      const go = join(sshd.home, 'go');
      await guest.launch(
        'job/live',
        { command: { shell: `until [ -e ${go} ]; do sleep 0.01; done; date +%s%N; sleep 2.2` } },
        soon(),
      );
      let heard = 0;
      let said = '';
      const alive: number[] = [];
      setTimeout(() => writeFileSync(go, ''), 700);
      await guest.follow(
        'job/live',
        { stdout: 0, stderr: 0 },
        {
          async data(_stream, _offset, bytes) {
            heard = Date.now();
            said += Buffer.from(bytes).toString();
          },
          alive: () => void alive.push(Date.now()),
        },
        soon(),
      );
      expect(heard - Number(said) / 1e6).toBeLessThan(250);
      expect(Math.max(...alive.slice(1).map((time, index) => time - (alive[index] ?? 0)))).toBeLessThan(2_200);
    });

    it('prints a lot, and the slow reader holds it back instead of losing it', async () => {
      await guest.launch('job/big', { command: { shell: 'seq 1 3000000 >&2 & seq 1 3000000; wait' } }, soon());
      let pending = 0;
      let most = 0;
      const slow = async (): Promise<void> => {
        pending += 1;
        most = Math.max(most, pending);
        await new Promise((resolve) => setImmediate(resolve));
        pending -= 1;
      };
      const { bytes } = await take(guest, 'job/big', { stdout: 0, stderr: 0 }, slow);
      const expected = sha256(execFileSync('seq', ['1', '3000000'], { maxBuffer: 1e8 }));
      expect([sha256(bytes.stdout), sha256(bytes.stderr)]).toEqual([expected, expected]);
      expect(most).toBeLessThanOrEqual(2);
    });

    it('that prints what looks like our own lines keeps every byte', async () => {
      const text = `\x1e${'0'.repeat(32)} end exited 0 0 0 0 0 0 0 -\n\x1e`;
      await guest.launch('job/forged', { command: ['printf', '%s', text] }, soon());
      expect((await take(guest, 'job/forged')).bytes.stdout.toString()).toBe(text);
    });

    it('is followed to its end byte for byte though the connection is cut again and again', async () => {
      const wire = await proxied();
      const cutting = createGuests({ base: sshd.base });
      const far = cutting.at({ ...sshd.at('cut.1'), port: wire.port }, sshd.clientKey.privateKey);
      await far.launch('job/cut', { command: { shell: 'seq 1 2000000; seq 1 2000000 >&2' } }, soon());
      const chunks: Record<Stream, Buffer[]> = { stdout: [], stderr: [] };
      const at = { stdout: 0, stderr: 0 };
      let cuts = 0;
      let poll: TaskPoll | undefined;
      while (poll === undefined) {
        let left = 3_000_000;
        const data = async (stream: Stream, offset: number, bytes: Uint8Array): Promise<void> => {
          expect(offset).toBe(at[stream]);
          at[stream] += bytes.length;
          chunks[stream].push(Buffer.from(bytes));
          left -= bytes.length;
          if (left < 0 && cuts < 6) {
            left = Infinity;
            cuts += 1;
            wire.reset();
          }
        };
        poll = await far
          .follow('job/cut', { ...at }, { data, alive: () => undefined }, soon())
          .catch((error: unknown) => {
            expect(error).toMatchObject({ type: 'GuestUnreachable' });
            return undefined;
          });
      }
      expect(cuts).toBeGreaterThanOrEqual(4);
      const expected = sha256(execFileSync('seq', ['1', '2000000'], { maxBuffer: 1e8 }));
      expect([sha256(Buffer.concat(chunks.stdout)), sha256(Buffer.concat(chunks.stderr))]).toEqual([
        expected,
        expected,
      ]);
      await cutting.close();
      await wire.close();
    });

    it('survives the death of sshd itself', async () => {
      await guest.launch('job/outlives', { command: { shell: 'sleep 0.4; echo lived' } }, soon());
      const log = await sshd.log();
      expect(log).not.toContain('fatal');
      const wire = await proxied();
      const other = createGuests({ base: sshd.base });
      const far = other.at({ ...sshd.at('outlives.1'), port: wire.port }, sshd.clientKey.privateKey);
      const following = far.follow(
        'job/outlives',
        { stdout: 0, stderr: 0 },
        { data: async () => undefined, alive: () => wire.reset() },
        soon(),
      );
      await expect(following).rejects.toMatchObject({ type: 'GuestUnreachable' });
      expect((await take(guest, 'job/outlives')).bytes.stdout.toString()).toBe('lived\n');
      await other.close();
      await wire.close();
    });

    it('gets a stdin file of any size', async () => {
      const path = join(sshd.home, 'stdin');
      const bytes = randomBytes(3_000_000);
      writeFileSync(path, bytes);
      const spec = { command: ['sha256sum'], stdinFile: { path, bytes: bytes.length } };
      await guest.launch('job/stdin', spec, soon());
      expect((await take(guest, 'job/stdin')).bytes.stdout.toString()).toBe(`${sha256(bytes)}  -\n`);
      // Asked again after its end, the file is not sent again.
      expect(await guest.launch('job/stdin', spec, soon())).toMatchObject({ state: 'exited' });
    });

    it('is cleaned, and its spool freed before', async () => {
      await guest.launch('job/clean', { command: ['seq', '1', '100000'] }, soon());
      await take(guest, 'job/clean');
      await guest.release('job/clean', { stdout: 500_000, stderr: 0 }, soon());
      await guest.clean('job/clean', soon());
      expect(await guest.launch('job/clean', { command: ['true'] }, soon())).toMatchObject({ state: 'gone' });
    });

    it('that cannot be is refused as the caller’s mistake before anything is sent', async () => {
      const launch = (spec: Parameters<Guest['launch']>[1]): Promise<TaskPoll> =>
        guest.launch('job/never', spec, soon());
      await expect(launch({ command: [] })).rejects.toMatchObject({ type: 'InvalidRequest' });
      await expect(launch({ command: ['a\0b'] })).rejects.toMatchObject({ type: 'InvalidRequest' });
      await expect(launch({ command: ['x'], env: { 'A B': '1' } })).rejects.toMatchObject({ type: 'InvalidRequest' });
      await expect(launch({ command: ['x'], user: '-o x' })).rejects.toMatchObject({ type: 'InvalidRequest' });
    });
  });

  describe('a file', () => {
    const inHome = (...path: string[]): string => join(sshd.home, ...path);
    const spec = (path: string, bytes: Uint8Array = Buffer.from('content')) => ({ id: path, path, source: { bytes } });

    it('is put in place with its mode, from bytes, and an old one is replaced', async () => {
      writeFileSync(inHome('old'), 'old');
      const installed = await guest.installFile({ ...spec('~/old'), mode: '4751' }, soon());
      expect(installed).toEqual({ path: inHome('old'), bytes: 7, sha256: sha256(Buffer.from('content')) });
      expect(readFileSync(inHome('old'), 'utf8')).toBe('content');
      expect(statSync(inHome('old')).mode & 0o7777).toBe(0o4751);
      expect(readdirSync(sshd.home).filter((name) => name.endsWith('.part'))).toEqual([]);
    });

    it.skipIf(!isRoot)('belongs to whom it should', async () => {
      await guest.installFile({ ...spec('~/owned'), owner: 'nobody', group: '0', mode: '2640' }, soon());
      const { uid, gid, mode } = statSync(inHome('owned'));
      expect([uid, gid, mode & 0o7777]).toEqual([65_534, 0, 0o2640]);
      await expect(guest.installFile({ ...spec('~/owned'), owner: 'no-such-user' }, soon())).rejects.toMatchObject({
        type: 'CustomizeFailed',
        message: /owner cannot be set/,
      });
    });

    it('comes whole when the script is not on the guest any more', async () => {
      execFileSync('sh', ['-c', 'rm "$0"/bin/*', sshd.base]);
      await guest.installFile(spec('~/whole'), soon());
      expect(readFileSync(inHome('whole'), 'utf8')).toBe('content');
    });

    it('may have any name', async () => {
      for (const name of ["it's", 'a b', '-n', '*', '$(id)', 'ü', '\\n', `long${'g'.repeat(250)}`]) {
        await guest.installFile(spec(`~/${name}`), soon());
        expect(readFileSync(inHome(name), 'utf8')).toBe('content');
      }
    });

    it('does not go where there is no folder, unless the folder is to be made', async () => {
      await expect(guest.installFile(spec('~/no/such/file'), soon())).rejects.toMatchObject({
        type: 'CustomizeFailed',
        message: expect.stringContaining(`there is no folder ${inHome('no', 'such')}`) as string,
      });
      await guest.installFile({ ...spec('~/no/such/file'), parents: true }, soon());
      expect(readFileSync(inHome('no', 'such', 'file'), 'utf8')).toBe('content');
      expect(statSync(inHome('no')).mode & 0o777).toBe(0o755);
    });

    it('replaces a symbolic link and leaves alone what that pointed to; a folder is not replaced', async () => {
      mkdirSync(inHome('folder'));
      writeFileSync(inHome('precious'), 'precious');
      execFileSync('ln', ['-s', 'precious', inHome('link')]);
      execFileSync('ln', ['-s', 'folder', inHome('linked-folder')]);
      await guest.installFile(spec('~/link'), soon());
      await guest.installFile(spec('~/linked-folder'), soon());
      expect(readFileSync(inHome('precious'), 'utf8')).toBe('precious');
      expect(readFileSync(inHome('linked-folder'), 'utf8')).toBe('content');
      expect(readdirSync(inHome('folder'))).toEqual([]);
      await expect(guest.installFile(spec('~/folder'), soon())).rejects.toMatchObject({ type: 'CustomizeFailed' });
    });

    it('with another digest than demanded is refused, and the old one stays', async () => {
      writeFileSync(inHome('kept'), 'kept');
      writeFileSync(inHome('source'), randomBytes(600_000));
      const file = { id: 'kept', path: '~/kept', source: { path: inHome('source') }, sha256: '0'.repeat(64) };
      await expect(guest.installFile(file, soon())).rejects.toMatchObject({
        type: 'CustomizeFailed',
        message: /sha256/,
      });
      expect(readFileSync(inHome('kept'), 'utf8')).toBe('kept');
      expect(readdirSync(sshd.home).filter((name) => name.endsWith('.part'))).toEqual([]);
    });

    it('whose path or mode cannot be is the caller’s mistake', async () => {
      for (const more of [
        { path: 'relative' },
        { path: '/a/' },
        { path: '/a\nb' },
        { mode: '0999' },
        { owner: 'a b' },
      ]) {
        await expect(guest.installFile({ ...spec('~/x'), ...more }, soon())).rejects.toMatchObject({
          type: 'InvalidRequest',
        });
      }
    });

    it('of 64 MiB goes on where it was cut', async () => {
      const bytes = randomBytes(64 * 1024 * 1024);
      writeFileSync(inHome('large'), bytes);
      const wire = await proxied();
      const cutting = createGuests({ base: sshd.base });
      const far = cutting.at({ ...sshd.at('file.1'), port: wire.port }, sshd.clientKey.privateKey);
      const file = { id: 'large', path: '~/copy', source: { path: inHome('large') }, sha256: sha256(bytes) };
      wire.arm({ fault: 'reset', toward: 'guest', afterBytes: 8_000_000 });
      await expect(far.installFile(file, soon())).rejects.toMatchObject({ type: 'GuestUnreachable' });
      const part = (): string | undefined => readdirSync(sshd.home).find((name) => name.startsWith('.copy.'));
      expect(statSync(inHome(part() ?? 'none')).size).toBeLessThan(bytes.length);
      expect(await far.installFile(file, soon())).toMatchObject({ bytes: bytes.length, sha256: sha256(bytes) });
      expect(sha256(readFileSync(inHome('copy')))).toBe(sha256(bytes));
      // What another had left under the same name is found out by its digest, and sent anew.
      writeFileSync(inHome(`.copy.${sha256(Buffer.from('large')).slice(0, 16)}.part`), 'of something else');
      expect(await far.installFile(file, soon())).toMatchObject({ sha256: sha256(bytes) });
      await cutting.close();
      await wire.close();
    });

    it.skipIf(!isRoot)('on a full disk says so and leaves no part', async () => {
      mkdirSync(inHome('disk'));
      tool('mount', '-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', inHome('disk'));
      try {
        for (const bytes of [randomBytes(200_000), randomBytes(3_000_000)]) {
          if (bytes.length < 1_000_000) writeFileSync(inHome('disk', 'fill'), Buffer.alloc(900_000));
          await expect(guest.installFile(spec('~/disk/file', bytes), soon())).rejects.toMatchObject({
            type: 'CustomizeFailed',
            message: /disk is full/,
          });
          expect(readdirSync(inHome('disk'))).toEqual(['fill']);
        }
      } finally {
        tool('umount', inHome('disk'));
      }
    });

    it.skipIf(isRoot)('where the login user has no right says so in a sentence', async () => {
      await expect(guest.installFile(spec('/etc/slipway-test'), soon())).rejects.toMatchObject({
        type: 'CustomizeFailed',
        message: /may not write to \/etc/,
      });
    });

    describe('from a URL', () => {
      const bytes = randomBytes(5_000_000);
      let server: Server;
      let url: string;
      let breakAt = Infinity;
      /** So often from now on it says nothing more after so many bytes. */
      let silences = { times: 0, afterBytes: 0 };
      const asked: (string | undefined)[] = [];
      beforeAll(async () => {
        server = createServer((request, response) => {
          asked.push(request.headers.range);
          if (request.url === '/gone') return void response.writeHead(404).end();
          if (request.url?.startsWith('/mute')) return undefined;
          if (request.url === '/busy') return void response.writeHead(503).end();
          const to = { '/moved': '/moved-again', '/moved-again': '/file', '/round': '/round', '/out': 'ftp://x/y' };
          const location = to[request.url as keyof typeof to];
          if (location !== undefined) return void response.writeHead(302, { location }).end();
          if (request.url === '/short') {
            // Without a length only the end of the stream tells, and it lies.
            response.writeHead(200, { connection: 'close', 'transfer-encoding': 'identity' });
            return void response.end(bytes.subarray(0, 1_000_000));
          }
          const from = Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
          const stale = request.headers['if-match'] !== undefined && request.headers['if-match'] !== '"v1"';
          if (stale) return void response.writeHead(412).end();
          const rest = bytes.subarray(from);
          const head = {
            etag: '"v1"',
            'content-length': rest.length,
            'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}`,
          };
          response.writeHead(from > 0 ? 206 : 200, head);
          if (silences.times > 0) {
            silences = { ...silences, times: silences.times - 1 };
            response.write(rest.subarray(0, silences.afterBytes));
          } else if (breakAt < rest.length) response.write(rest.subarray(0, breakAt), () => response.destroy());
          else response.end(rest);
          return undefined;
        });
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
        url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
      });
      afterAll(() => new Promise((resolve) => server.close(resolve)));

      it('streams through here, and goes on by range after a break', async () => {
        const file = { id: 'url', path: '~/fetched', source: { url: `${url}/file` }, sha256: sha256(bytes) };
        breakAt = 2_000_000;
        await expect(guest.installFile(file, soon())).rejects.toMatchObject({ type: 'GuestUnreachable' });
        breakAt = Infinity;
        expect(await guest.installFile(file, soon())).toMatchObject({ bytes: bytes.length, sha256: sha256(bytes) });
        expect(Number(/\d+/.exec(asked.at(-1) ?? '')?.[0])).toBeGreaterThan(0);
        expect(sha256(readFileSync(inHome('fetched')))).toBe(sha256(bytes));
      });

      it('that goes silent in the middle is asked again for the rest, as long as it gets any further', async () => {
        asked.length = 0;
        silences = { times: 3, afterBytes: 1_000_000 };
        const source = { url: `${url}/file`, idleMs: 300 };
        const file = { id: 'slow', path: '~/slow', source, sha256: sha256(bytes) };
        expect(await guest.installFile(file, soon())).toMatchObject({ bytes: bytes.length, sha256: sha256(bytes) });
        const from = asked.map((range) => Number(/\d+/.exec(range ?? '')?.[0] ?? 0));
        expect(from).toHaveLength(4);
        expect(from).toEqual(from.toSorted((a, b) => a - b));
        expect(from.at(-1)).toBeGreaterThan(1_000_000);
      });

      it('that stays silent is given up after three times, with its server and the idle limit, and leaves nothing', async () => {
        const source = (path: string) => ({ url: `${url}/${path}?token=secret`, idleMs: 300 });
        const given = {
          type: 'CustomizeFailed',
          message: `The file at ${url} cannot be fetched: its server sent nothing for 0.3 s, 3 times in a row`,
          hint: 'Look at that server, or upload a copy of the file.',
        };
        // Of one without a digest nothing that came before counts.
        silences = { times: 3, afterBytes: 1_000_000 };
        await expect(
          guest.installFile({ id: 'some', path: '~/silent', source: source('file') }, soon()),
        ).rejects.toMatchObject(given);
        expect(silences.times).toBe(0);
        await expect(
          guest.installFile({ id: 'mute', path: '~/silent', source: source('mute'), sha256: sha256(bytes) }, soon()),
        ).rejects.toMatchObject(given);
        expect(readdirSync(sshd.home).filter((name) => name.includes('silent'))).toEqual([]);
      });

      it('follows redirects to other http, and goes no further than that', async () => {
        const from = (path: string, to = `~/${path}`) =>
          guest.installFile({ id: path, path: to, source: { url: `${url}/${path}` }, sha256: sha256(bytes) }, soon());
        expect(await from('moved')).toMatchObject({ sha256: sha256(bytes) });
        await expect(from('round')).rejects.toMatchObject({
          type: 'CustomizeFailed',
          message: /more than 10 redirects/,
        });
        await expect(from('out')).rejects.toMatchObject({ type: 'CustomizeFailed', message: /a redirect to ftp:/ });
      });

      it('that is not what it should be is refused and leaves nothing', async () => {
        const from = (path: string, digest: string) =>
          guest.installFile({ id: path, path: '~/other', source: { url: `${url}/${path}` }, sha256: digest }, soon());
        await expect(from('file', sha256(Buffer.of()))).rejects.toMatchObject({
          type: 'CustomizeFailed',
          message: `~/other: the file has the sha256 ${sha256(bytes)}, not ${sha256(Buffer.of())}`,
        });
        await expect(from('short', sha256(bytes))).rejects.toMatchObject({
          type: 'CustomizeFailed',
          details: { code: 'sum' },
        });
        expect(readdirSync(sshd.home).filter((name) => name.includes('other'))).toEqual([]);
      });

      it('whose length is a lie is asked again, as a broken connection is', async () => {
        const head = (length: number): string => `HTTP/1.1 200 OK\r\ncontent-length: ${length}\r\n\r\n`;
        const small = bytes.subarray(0, 1_000);
        const liar = createTcpServer((socket) => {
          socket.once('data', (asked) => {
            const length = asked.toString().startsWith('GET /less') ? 2_000 : 500;
            socket.end(Buffer.concat([Buffer.from(head(length)), small]));
          });
        });
        await new Promise<void>((resolve) => liar.listen(0, '127.0.0.1', resolve));
        const at = `http://127.0.0.1:${(liar.address() as AddressInfo).port}`;
        const from = (path: string) =>
          guest.installFile(
            { id: path, path: '~/lie', source: { url: `${at}/${path}` }, sha256: sha256(small) },
            soon(),
          );
        await expect(from('less')).rejects.toMatchObject({ type: 'GuestUnreachable' });
        // More than it says is cut there: then it is another file.
        await expect(from('more')).rejects.toMatchObject({
          type: expect.stringMatching(/GuestUnreachable|CustomizeFailed/) as string,
        });
        expect(existsSync(inHome('lie'))).toBe(false);
        await new Promise((resolve) => liar.close(resolve));
      });

      it('without a digest the one seen is answered; a refusal and a busy server are told apart', async () => {
        const from = (path: string) => ({ id: path, path: `~/${path}`, source: { url: `${url}/${path}` } });
        expect(await guest.installFile(from('seen'), soon())).toMatchObject({ sha256: sha256(bytes) });
        await expect(guest.installFile(from('gone'), soon())).rejects.toMatchObject({
          type: 'CustomizeFailed',
          message: /404/,
        });
        await expect(guest.installFile(from('busy'), soon())).rejects.toMatchObject({ type: 'GuestUnreachable' });
        expect(existsSync(inHome('gone'))).toBe(false);
      });
    });
  });

  it('keys of tenants are authorized once each, after a last line without an end', async () => {
    mkdirSync(join(sshd.home, '.ssh'), { recursive: true });
    writeFileSync(join(sshd.home, '.ssh', 'authorized_keys'), 'ssh-ed25519 AAAAold old');
    const key = opensshKeyPair(randomBytes(32), '').publicKey;
    await guest.authorizeKeys([`${key} ann`], soon());
    await guest.authorizeKeys([`${key} bob`, 'ssh-ed25519 AAAAold'], soon());
    expect(readFileSync(join(sshd.home, '.ssh', 'authorized_keys'), 'utf8')).toBe(
      `ssh-ed25519 AAAAold old\n${key} ann\n`,
    );
    await expect(guest.authorizeKeys([`command="id" ${key}`], soon())).rejects.toMatchObject({
      type: 'InvalidRequest',
    });
    await expect(guest.authorizeKeys([`${key}\n${key}`], soon())).rejects.toMatchObject({ type: 'InvalidRequest' });
  });
});

describe.skipIf(sshdPath === undefined).each([
  ['noisy rc files', 'sh', `printf 'Welcome> '; echo noise >&2; exec sh -c "$SSH_ORIGINAL_COMMAND"`],
  ['bash', 'bash', 'exec bash -c "$SSH_ORIGINAL_COMMAND"'],
  ['fish', 'fish', 'exec fish -c "$SSH_ORIGINAL_COMMAND"'],
  ['csh', 'csh', 'exec csh -c "$SSH_ORIGINAL_COMMAND"'],
  ['zsh', 'zsh', 'exec zsh -c "$SSH_ORIGINAL_COMMAND"'],
] as const)('a login shell with %s', (_name, shell, forceCommand) => {
  it.skipIf(whichTool(shell) === undefined)(`runs tasks and takes files (needs ${shell})`, async () => {
    const sshd = await startSshd({ forceCommand });
    // The usual place: ~ must be understood by every login shell.
    const guests = createGuests({ base: '~/.slipway' });
    const guest = guests.at(sshd.at(), sshd.clientKey.privateKey);
    expect((await guest.probe(soon())).kernel).not.toBe('');
    await guest.launch('shell/1', { command: ['sh', '-c', 'echo out; echo err >&2; exit 3'] }, soon());
    const { bytes, poll } = await take(guest, 'shell/1');
    expect([bytes.stdout.toString(), bytes.stderr.toString(), poll.exitCode]).toEqual(['out\n', 'err\n', 3]);
    await guest.installFile({ id: 'f', path: '~/f', source: { bytes: Buffer.from('x') } }, soon());
    expect(readFileSync(join(sshd.home, 'f'), 'utf8')).toBe('x');
    chmodSync(join(sshd.home, 'f'), 0o600);
    await guests.close();
    await sshd.remove();
  });
});
