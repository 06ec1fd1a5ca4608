import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Guest, Guests } from '../../src/guest/guest.ts';
import { createGuests } from '../../src/guest/guests.ts';
import { opensshKeyPair } from '../../src/guest/openssh-key.ts';
import { isRoot, localBench } from '../support/local-machines.ts';
import { sshdPath, startSshd, type Sshd } from '../support/sshd.ts';
import { until } from '../support/until.ts';

const soon = (): AbortSignal => AbortSignal.timeout(25_000);

// An sshd reads its keys again only for root, or for who runs it; the login must be the same here.
describe.skipIf(sshdPath === undefined || !isRoot)('a guest of OpenSSH that makes a host key of its own', () => {
  let sshd: Sshd;
  let guests: Guests;
  let guest: Guest;
  beforeEach(async () => {
    sshd = await startSshd();
    guests = createGuests({ base: sshd.base });
    guest = guests.at(sshd.at(), sshd.clientKey.privateKey);
  });
  afterEach(async () => {
    await guests.close();
    await sshd.remove();
  });

  const pinned = (hostKey: string, id: string): Guest =>
    guests.at({ ...sshd.at(id), hostKey }, sshd.clientKey.privateKey);
  const made = async (): Promise<string> => {
    const news = await guest.makeHostKey(soon());
    if (!('next' in news)) throw new Error(news.kept);
    return news.next;
  };
  /** The moment after the switch belongs to nobody: connections may be refused, or meet the old key still. */
  const answersAs = (hostKey: string): Promise<void> =>
    until('it answers by its new key', () =>
      pinned(hostKey, `new.${randomBytes(4).toString('hex')}`)
        .probe(soon())
        .then(
          () => true,
          () => false,
        ),
    );

  it('makes one however often it is asked, and serves the one that it was given until it switches', async () => {
    const [one, two] = await Promise.all([made(), made()]);
    expect(two).toBe(one);
    expect(await made()).toBe(one);
    await expect(pinned(one, 'early.1').probe(soon())).rejects.toMatchObject({
      type: 'HostKeyMismatch',
      details: { served: sshd.hostKey.fingerprint },
    });
    await pinned(sshd.hostKey.publicKey, 'given.1').probe(soon());
  });

  it('switches, is known by the new key alone, and who is logged in stays so', async () => {
    const next = await made();
    const keys = { before: sshd.hostKey.publicKey, next };
    expect(await guest.switchHostKey(keys, soon())).toBeUndefined();
    await answersAs(next);
    // Over the connection of before: a new one to that pin would be refused, as the next line shows.
    expect(await guest.switchHostKey(keys, soon())).toBeUndefined();
    expect(await guest.probe(soon())).toMatchObject({ bootId: expect.any(String) });
    await expect(pinned(sshd.hostKey.publicKey, 'given.2').probe(soon())).rejects.toMatchObject({
      type: 'HostKeyMismatch',
    });
    const file = join(sshd.home, 'host_key');
    expect(readFileSync(`${file}.pub`, 'utf8').trim()).toBe(next);
    expect(existsSync(join(sshd.home, 'ssh_host_ed25519_key.next'))).toBe(false);
  });

  it('takes both keys for its own while it switches, and no third one', async () => {
    const next = await made();
    const both = (hostKey: string, nextHostKey: string, id: string): Promise<unknown> =>
      guests.at({ ...sshd.at(id), hostKey, nextHostKey }, sshd.clientKey.privateKey).probe(soon());
    await both(sshd.hostKey.publicKey, next, 'both.1');
    await guest.switchHostKey({ before: sshd.hostKey.publicKey, next }, soon());
    await answersAs(next);
    await both(sshd.hostKey.publicKey, next, 'both.2');
    const other = opensshKeyPair(randomBytes(32), '').publicKey;
    await expect(both(sshd.hostKey.publicKey, other, 'both.3')).rejects.toMatchObject({ type: 'HostKeyMismatch' });
  });

  it('keeps the one that it was given where its sshd could not start with its configuration', async () => {
    const next = await made();
    appendFileSync(join(sshd.home, 'sshd_config'), 'NoSuchWord yes\n');
    const kept = await guest.switchHostKey({ before: sshd.hostKey.publicKey, next }, soon());
    expect(kept).toMatch(/^its sshd_config has mistakes: .*NoSuchWord/);
    await pinned(sshd.hostKey.publicKey, 'given.3').probe(soon());
  });

  it('keeps a key that is in no file of its configuration', async () => {
    const config = join(sshd.home, 'sshd_config');
    writeFileSync(config, readFileSync(config, 'utf8').replace(/^HostKey .*$/m, ''));
    expect(await guest.makeHostKey(soon())).toEqual({
      kept: 'no file of its sshd_config holds the key that it serves',
    });
  });

  it('that has lost the new key before it switched fails, and serves the one that it was given', async () => {
    const next = opensshKeyPair(randomBytes(32), '').publicKey;
    await expect(guest.switchHostKey({ before: sshd.hostKey.publicKey, next }, soon())).rejects.toMatchObject({
      type: 'CustomizeFailed',
      message: expect.stringContaining('is gone'),
    });
    await pinned(sshd.hostKey.publicKey, 'given.4').probe(soon());
  });
});

describe('a guest whose SSH is not that of OpenSSH', () => {
  it('keeps its host key, and says why', async () => {
    const bench = localBench();
    const machine = await bench.make('key.1');
    const guests = createGuests();
    const { address, port, user } = machine.access;
    const at = { id: 'key.1', name: 'key.1', address, port, user, hostKey: bench.hostKey.publicKey };
    const news = await guests.at(at, bench.clientKey.privateKey).makeHostKey(soon());
    expect(news).toEqual({ kept: expect.stringMatching(/not the sshd of OpenSSH|no sudo|no file of|no ssh-keygen/) });
    await guests.close();
    await bench.close();
  });
});
