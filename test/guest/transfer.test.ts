import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { FetchSink, Guest, Guests } from '../../src/guest/guest.ts';
import { createGuests } from '../../src/guest/guests.ts';
import { startSshProxy } from '../support/ssh-proxy.ts';
import { sshdPath, startSshd, type Sshd } from '../support/sshd.ts';

const soon = (): AbortSignal => AbortSignal.timeout(25_000);
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

/** Keeps what comes, as a store would. */
function kept(had?: FetchSink['had'], before: Buffer = Buffer.of()) {
  const state = { bytes: before, stamp: had?.stamp, from: -1 };
  const sink: FetchSink = {
    ...(had ? { had } : {}),
    async begin(stamp, from) {
      state.stamp = stamp;
      state.from = from;
      state.bytes = state.bytes.subarray(0, from);
    },
    async write(offset, bytes) {
      expect(offset).toBe(state.bytes.length);
      state.bytes = Buffer.concat([state.bytes, bytes]);
    },
  };
  return { state, sink };
}

describe.skipIf(sshdPath === undefined)('a guest behind OpenSSH', () => {
  let sshd: Sshd;
  let guests: Guests;
  let guest: Guest;
  let folder: string;
  beforeAll(async () => {
    sshd = await startSshd();
    guests = createGuests({ base: sshd.base });
    guest = guests.at(sshd.at(), sshd.clientKey.privateKey);
    folder = join(sshd.home, 'transfer');
    mkdirSync(folder);
  });
  afterAll(async () => {
    await guests.close();
    await sshd.remove();
  });
  const at = (name: string): string => join(folder, name);
  const placed = (name: string, bytes: Uint8Array | string): string => {
    writeFileSync(at(name), bytes, { mode: 0o640 });
    return at(name);
  };

  describe('a file that is fetched', () => {
    it.each([0, 1, 3_000_000])('comes whole, with its mode and digest, at %i bytes', async (size) => {
      const bytes = randomBytes(size);
      const path = placed(`f ${size}`, bytes);
      const { state, sink } = kept();
      expect(await guest.fetchFile(path, sink, soon())).toEqual({
        path,
        bytes: size,
        mode: '640',
        tree: false,
        changed: false,
        sha256: sha256(bytes),
      });
      expect(state.bytes.equals(bytes)).toBe(true);
    });

    it('goes on where an earlier call stood, unless another file came into its place', async () => {
      const bytes = randomBytes(500_000);
      const path = placed('resumed', bytes);
      const first = kept();
      await guest.fetchFile(path, first.sink, soon());
      const had = { stamp: first.state.stamp ?? '', bytes: 123_456 };
      const second = kept(had, bytes.subarray(0, 123_456));
      await guest.fetchFile(path, second.sink, soon());
      expect([second.state.from, second.state.bytes.equals(bytes)]).toEqual([123_456, true]);

      execFileSync('mv', [placed('other', 'another one'), path]);
      const third = kept(had, bytes.subarray(0, 123_456));
      await guest.fetchFile(path, third.sink, soon());
      expect([third.state.from, third.state.bytes.toString()]).toEqual([0, 'another one']);
    });

    it('that is cut off is unreachable, and the next call goes on', async () => {
      const bytes = randomBytes(2_000_000);
      const path = placed('cut', bytes);
      const proxy = await startSshProxy({ to: () => ({ host: sshd.address, port: sshd.port }) });
      const through = createGuests({ base: sshd.base });
      const cut = through.at({ ...sshd.at(), id: 'cut', port: proxy.port }, sshd.clientKey.privateKey);
      await cut.probe(soon());
      proxy.arm({ fault: 'cut', toward: 'worker', afterBytes: 600_000 });
      const first = kept();
      const fetching = cut.fetchFile(path, first.sink, soon());
      await expect(fetching).rejects.toMatchObject({ type: 'GuestUnreachable' });
      const length = first.state.bytes.length;
      expect(length).toBeGreaterThan(100_000);
      expect(length).toBeLessThan(bytes.length);
      const second = kept({ stamp: first.state.stamp ?? '', bytes: length }, first.state.bytes);
      await cut.fetchFile(path, second.sink, soon());
      expect([second.state.from, second.state.bytes.equals(bytes)]).toEqual([length, true]);
      await through.close();
      await proxy.close();
    });

    it('may grow meanwhile: what was there at first comes, whole', async () => {
      const path = placed('log', Buffer.alloc(1_000_000, 'a'));
      const { state, sink } = kept();
      const begin = sink.begin.bind(sink);
      const growing: FetchSink = {
        ...sink,
        async begin(stamp, from) {
          await begin(stamp, from);
          appendFileSync(path, 'more');
        },
      };
      const { bytes, sha256: digest } = await guest.fetchFile(path, growing, soon());
      expect([bytes, digest]).toEqual([1_000_000, sha256(state.bytes)]);
    });

    it('by a link is what the link leads to', async () => {
      placed('target', 'linked');
      symlinkSync('target', at('link'));
      const { state, sink } = kept();
      await guest.fetchFile(at('link'), sink, soon());
      expect(state.bytes.toString()).toBe('linked');
    });

    it('by a link that leads nowhere is not there', async () => {
      symlinkSync('nowhere', at('dangling'));
      await expect(guest.fetchFile(at('dangling'), kept().sink, soon())).rejects.toMatchObject({
        type: 'NotFound',
        message: `${at('dangling')} cannot be fetched from box.1: there is no such file or folder`,
      });
    });

    // Root may read everything.
    it.skipIf(process.getuid?.() === 0)('that the login user may not read is refused, with what to try', async () => {
      const path = placed('secret', 'hush');
      chmodSync(path, 0);
      await expect(guest.fetchFile(path, kept().sink, soon())).rejects.toMatchObject({
        type: 'InvalidRequest',
        message: expect.stringContaining(`may not read it, and has no sudo without a password`) as string,
        hint: expect.stringContaining('sudo') as string,
      });
      mkdirSync(at('mixed'));
      writeFileSync(join(at('mixed'), 'secret'), 'hush', { mode: 0 });
      await expect(guest.fetchFile(at('mixed'), kept().sink, soon())).rejects.toMatchObject({
        type: 'InvalidRequest',
        message: expect.stringContaining('cannot be read whole') as string,
      });
    });

    it.each([
      ['a device', '/dev/null', 'InvalidRequest', 'neither a file nor a folder'],
      ['a relative path', 'x', 'InvalidRequest', 'must be absolute'],
      ['a path with a line feed', '/a\nb', 'InvalidRequest', 'must be absolute'],
    ])('that is %s is refused', async (_what, path, type, text) => {
      await expect(guest.fetchFile(path, kept().sink, soon())).rejects.toMatchObject({
        type,
        message: expect.stringContaining(text) as string,
      });
    });
  });

  describe('a folder', () => {
    const tree = (): string => {
      const root = at('tree');
      mkdirSync(join(root, 'sub dir', 'empty'), { recursive: true });
      writeFileSync(join(root, 'run.sh'), '#!/bin/sh\n', { mode: 0o755 });
      writeFileSync(join(root, 'sub dir', 'x'), randomBytes(100_000));
      symlinkSync('../run.sh', join(root, 'sub dir', 'link'));
      return root;
    };
    const listing = (root: string): string =>
      execFileSync('sh', [
        '-c',
        'cd "$1" && find . -printf "%p %y %m %l\\n" | sort && find . -type f -exec sha256sum {} + | sort',
        'sh',
        root,
      ]).toString();

    it('is fetched as an archive, and put as one, the same in all', async () => {
      const root = tree();
      const { state, sink } = kept();
      expect(await guest.fetchFile(root, sink, soon())).toMatchObject({ tree: true, changed: false, mode: '755' });
      const archive = state.bytes;
      const path = at('copy');
      const file = { id: 'tree-1', path, source: { bytes: archive }, tree: true };
      expect(await guest.installFile(file, soon())).toEqual({ path, bytes: archive.length, sha256: sha256(archive) });
      expect(listing(path)).toBe(listing(root));
      expect(readdirSync(folder).filter((name) => name.startsWith('.'))).toEqual([]);

      // Again, over what is there: what another put beside it stays.
      writeFileSync(join(path, 'mine'), 'mine');
      writeFileSync(join(path, 'run.sh'), 'spoilt');
      await guest.installFile(file, soon());
      expect(readFileSync(join(path, 'mine'), 'utf8')).toBe('mine');
      expect(readFileSync(join(path, 'run.sh'), 'utf8')).toBe('#!/bin/sh\n');
      expect(statSync(join(path, 'run.sh')).mode & 0o777).toBe(0o755);
    });

    it('is refused where a file is, and when it is no archive, and leaves nothing', async () => {
      const bytes = Buffer.from('no archive at all');
      const put = (path: string) => guest.installFile({ id: 't', path, source: { bytes }, tree: true }, soon());
      await expect(put(placed('a-file', 'x'))).rejects.toMatchObject({
        type: 'CustomizeFailed',
        details: { code: 'notfolder' },
      });
      await expect(put(at('new'))).rejects.toMatchObject({ type: 'CustomizeFailed', details: { code: 'archive' } });
      expect(readdirSync(folder).filter((name) => name.startsWith('.') || name === 'new')).toEqual([]);
    });
  });

  it('a key is let in for a time, and the others stay', async () => {
    const keys = join(sshd.home, '.ssh', 'authorized_keys');
    const key = (name: string): string => `ssh-ed25519 ${randomBytes(33).toString('base64')} ${name}`;
    const [stays, goes, other] = [key('stays'), key('goes'), key('other')];
    await guest.authorizeKeys([stays], soon());
    await Promise.all([guest.authorizeKeys([goes], soon()), guest.authorizeKeys([other], soon())]);
    await Promise.all([guest.withdrawKeys([goes], soon()), guest.authorizeKeys([key('late')], soon())]);
    const lines = readFileSync(keys, 'utf8').trimEnd().split('\n');
    expect(lines).toContain(stays);
    expect(lines).toContain(other);
    expect(lines).not.toContain(goes);
    expect(lines.some((line) => line.endsWith(' late'))).toBe(true);
    await guest.withdrawKeys([goes], soon());
    expect(readdirSync(join(sshd.home, '.ssh'))).not.toContain('.slipway-lock');
  });
});
