import { once } from 'node:events';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Activities, GuestRef, MachineRef } from '../../src/activities/activities.ts';
import { keyOf, type Deps } from '../../src/activities/deps.ts';
import { fullAccess } from '../../src/activities/look-ahead.ts';
import { specOf } from '../../src/activities/machine-spec.ts';
import { machineActivities } from '../../src/activities/machines.ts';
import { DomainError } from '../../src/domain/failure.ts';
import type { HostKeyNews, HostKeySource } from '../../src/domain/host-key.ts';
import type { Guest } from '../../src/guest/guest.ts';
import { createGuests } from '../../src/guest/guests.ts';
import { opensshKeyPair } from '../../src/guest/openssh-key.ts';
import type { Capabilities, Provider } from '../../src/providers/provider.ts';
import { securityEvents } from '../../src/worker/security-events.ts';
import { isRoot } from '../support/local-machines.ts';
import { fakeMachine, fakeRecipe, worker } from '../support/worker.ts';
import { startSshProxy } from '../support/ssh-proxy.ts';
import { sshdPath, startSshd, type Sshd } from '../support/sshd.ts';

const machine: MachineRef = fakeMachine;

const quiet = new DefaultLogger('ERROR');
type Answer = Awaited<ReturnType<Activities['awaitAccessible']>>;

describe.skipIf(sshdPath === undefined || !isRoot)('the first login to a guest of OpenSSH', () => {
  let sshd: Sshd;
  let deps: Deps;
  const open = new Set<Deps>();
  beforeEach(async () => {
    deps = worker();
    sshd = await startSshd({
      hostKey: keyOf(deps, machine, 'host-key'),
      clientKey: keyOf(deps, machine, 'client-key'),
    });
    deps = { ...deps, guests: createGuests({ base: sshd.base }) };
    open.add(deps);
  });
  afterEach(async () => {
    for (const each of open) await each.guests.close();
    open.clear();
    await sshd.remove();
  });

  /** As another worker, without the connections of the one before. */
  const another = (can: Partial<Capabilities> = {}): Deps => {
    const made = { ...worker(can), guests: createGuests({ base: sshd.base }) };
    open.add(made);
    return made;
  };
  const located = (of = deps): GuestRef => {
    const { address, port, user } = sshd;
    return { machine, access: fullAccess(of, machine, { address, port, user }) };
  };
  const login = async (guest: GuestRef, by = deps): Promise<HostKeyNews | undefined> => {
    const { awaitAccessible } = machineActivities(by);
    const environment = new MockActivityEnvironment({}, { logger: quiet });
    const answer = await environment.run<[GuestRef], Answer, typeof awaitAccessible>(awaitAccessible, guest);
    return answer.hostKey;
  };
  const knownAs = (guest: GuestRef, change: Partial<GuestRef['access']>): GuestRef => ({
    ...guest,
    access: { ...guest.access, ...change },
  });
  const nextOf = (news: HostKeyNews | undefined): string => (news && 'next' in news ? news.next : '');
  const served = (): string => readFileSync(join(sshd.home, 'host_key'), 'utf8');

  it('makes a key, then switches to it, and knows the guest by that alone', async () => {
    const guest = located();
    expect(guest.access.pin).toBe('injected');
    const nextHostKey = nextOf(await login(guest));
    expect(nextHostKey).toMatch(/^ssh-ed25519 /);
    const given = served();
    const news = await login(knownAs(guest, { nextHostKey }));
    expect(news).toEqual({
      rotated: { hostKey: nextHostKey, fingerprint: expect.stringMatching(/^SHA256:/) },
    });
    expect(served()).not.toBe(given);
    const rotated = knownAs(guest, { hostKey: nextHostKey, pin: 'rotated' });
    expect(await login(rotated)).toBeUndefined();
    await expect(login(guest)).rejects.toMatchObject({ type: 'HostKeyMismatch', nonRetryable: true });
  });

  it('comes to the same key when the worker dies before or after each of its halves', async () => {
    const guest = located();
    const nextHostKey = nextOf(await login(guest));
    expect(await login(guest, another())).toEqual({ next: nextHostKey });
    const both = knownAs(guest, { nextHostKey });
    const rotated = { rotated: expect.objectContaining({ hostKey: nextHostKey }) };
    expect(await login(both, another())).toEqual(rotated);
    expect(await login(both, another())).toEqual(rotated);
    // By the worker that still has the connection of before.
    expect(await login(both)).toEqual(rotated);
  });

  it('fails for good when anything else answers while it switches', async () => {
    const other = await startSshd({ clientKey: sshd.clientKey });
    let to: Sshd = sshd;
    const proxy = await startSshProxy({ to: () => ({ host: to.address, port: to.port }) });
    const guest = knownAs(located(), { port: proxy.port });
    const nextHostKey = nextOf(await login(guest));
    to = other;
    for (const access of [{ nextHostKey }, { pin: 'rotated', hostKey: nextHostKey }] as const) {
      const failure: unknown = await login(knownAs(guest, access), another()).catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(ApplicationFailure);
      expect(failure).toMatchObject({ type: 'HostKeyMismatch', nonRetryable: true });
    }
    expect(readFileSync(join(other.home, 'host_key'), 'utf8')).toBe(other.hostKey.privateKey);
    await proxy.close();
    await other.remove();
  });

  it('says why a guest keeps its key, and goes on', async () => {
    const config = join(sshd.home, 'sshd_config');
    writeFileSync(config, readFileSync(config, 'utf8').replace(/^HostKey .*$/m, ''));
    expect(await login(located())).toEqual({ kept: expect.stringContaining('no file of its sshd_config') });
  });

  it('fails when its new key is gone before it switched', async () => {
    const guest = located();
    const nextHostKey = nextOf(await login(guest));
    rmSync(join(sshd.home, 'ssh_host_ed25519_key.next'));
    await expect(login(knownAs(guest, { nextHostKey }))).rejects.toMatchObject({ type: 'CustomizeFailed' });
  });

  it.each([
    ['whose provider takes no user-data', { userDataMaxBytes: 0 }],
    ['whose provider serves its SSH itself', { rekey: true }],
  ] as const)('asks nothing of a guest %s', async (_, can) => {
    const by = another(can);
    expect(await login(located(by), by)).toBeUndefined();
  });

  it('asks nothing of a guest that was reset: its files are what they were', async () => {
    const guest = located();
    expect(await login({ ...guest, machine: { ...machine, generation: 2, keys: 1 } })).toBeUndefined();
  });
});

describe.skipIf(sshdPath === undefined)('a guest that makes its host key as it first boots', () => {
  let sshd: Sshd;
  const lines: Record<string, unknown>[] = [];
  beforeEach(async () => {
    lines.length = 0;
    sshd = await startSshd({ clientKey: keyOf(worker(), machine, 'client-key') });
  });
  afterEach(() => sshd.remove());

  async function learns(
    source: HostKeySource,
    more: { told?: readonly string[]; console?: NonNullable<Provider['console']> } = {},
  ) {
    const logger = pino(
      { base: null },
      { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[number]) },
    );
    const { told, ...can } = more;
    const deps: Deps = {
      ...worker({ console: can.console !== undefined }, can),
      guests: createGuests({ base: sshd.base }),
      logger,
    };
    const { address, port, user } = sshd;
    const of = { ...machine, ref: { id: 'm1' }, hostKey: source };
    const access = fullAccess(deps, of, { address, port, user });
    expect(access).toMatchObject({ hostKey: '', fingerprint: '', pin: source });
    const guest = { machine: of, access, ...(told ? { told } : {}) };
    const { awaitAccessible } = machineActivities(deps);
    const environment = new MockActivityEnvironment({}, { logger: quiet });
    try {
      return await environment.run<[typeof guest], Answer, typeof awaitAccessible>(awaitAccessible, guest);
    } finally {
      await deps.guests.close();
    }
  }
  const theirs = (): object => ({
    facts: expect.objectContaining({ bootId: expect.any(String) }),
    hostKey: { learned: { hostKey: sshd.hostKey.publicKey, fingerprint: sshd.hostKey.fingerprint } },
  });
  const other = opensshKeyPair(new Uint8Array(32), '').publicKey;

  it('is known by the key that it has posted, and by no other', async () => {
    expect(await learns('checkin', { told: [`${sshd.hostKey.publicKey} root@web`] })).toEqual(theirs());
    await expect(learns('checkin', { told: [other] })).rejects.toMatchObject({ type: 'HostKeyMismatch' });
    await expect(learns('checkin')).rejects.toMatchObject({ type: 'GuestUnreachable' });
    expect(lines).toEqual([]);
  });

  it('is known by the key that its console shows, once that is there', async () => {
    const shown = (key: string) => `-----BEGIN SSH HOST KEY KEYS-----\n${key}\n-----END SSH HOST KEY KEYS-----\n`;
    const texts = ['it boots', shown(sshd.hostKey.publicKey)];
    expect(await learns('console', { console: async () => texts.shift() ?? '' })).toEqual(theirs());
    expect(texts).toEqual([]);
    await expect(learns('console', { console: async () => shown(other) })).rejects.toMatchObject({
      type: 'HostKeyMismatch',
    });
  });

  it('is taken at its word at first use, which is a security event in the log', async () => {
    expect(await learns('first-use')).toEqual(theirs());
    expect(lines).toEqual([
      expect.objectContaining({
        security: true,
        machine: 'web.1',
        fingerprint: sshd.hostKey.fingerprint,
        msg: 'a host key is trusted at its first use',
      }),
    ]);
  });
});

describe('a guest that boots, and is trusted at first use', () => {
  it('is asked for its key twice a second, as for a login, also when what forwards its port answers for it', async () => {
    const asked: number[] = [];
    const deps: Deps = {
      ...worker(),
      guests: {
        ...createGuests({ base: '/nowhere' }),
        at: () => ({ probe: async () => ({ kernel: 'Linux', hostname: 'web', bootId: 'b' }) }) as unknown as Guest,
        async servedKey(_address, signal) {
          asked.push(performance.now());
          // A connection that is taken and says nothing.
          if (asked.length === 1) await once(signal, 'abort');
          signal.throwIfAborted();
          if (asked.length < 7) throw new DomainError('GuestUnreachable', 'the port refused');
          return opensshKeyPair(new Uint8Array(32), '').publicKey;
        },
      },
    };
    const of = { ...machine, ref: { id: 'm1' }, hostKey: 'first-use' as const };
    const guest = { machine: of, access: fullAccess(deps, of, { address: '127.0.0.1', port: 1, user: 'root' }) };
    const { awaitAccessible } = machineActivities(deps);
    const environment = new MockActivityEnvironment({}, { logger: quiet });
    const answer = await environment.run<[GuestRef], Answer, typeof awaitAccessible>(awaitAccessible, guest);
    expect(answer.hostKey).toMatchObject({ learned: { hostKey: expect.stringMatching(/^ssh-ed25519 /) as string } });
    const [, ...gaps] = asked.slice(1).map((at, n) => at - (asked[n] ?? 0));
    expect(gaps).toHaveLength(5);
    expect(Math.max(...gaps)).toBeLessThan(1_500);
  });
});

describe('what a machine is made with', () => {
  const made = (hostKey?: HostKeySource, can: Partial<Capabilities> = {}) => {
    const digest = `recipe ${hostKey ?? 'of none'}`;
    const get = async (): Promise<Uint8Array> => Buffer.from(JSON.stringify(fakeRecipe(hostKey ? { hostKey } : {})));
    const blobs = { get } as unknown as Deps['blobs'];
    const bootString = async (): Promise<string> => 'id:127.0.0.1:4801;sha256//pin:secret';
    return specOf({ ...worker(can), blobs, bootString }, machine, digest, 0);
  };

  it('holds a host key unless its guest makes its own, and what that needs to post it', async () => {
    for (const source of [undefined, 'rotated', 'injected'] as const) {
      const { userData, ownHostKey } = await made(source);
      expect([userData?.includes('ed25519_private'), ownHostKey]).toEqual([true, undefined]);
    }
    for (const source of ['checkin', 'console', 'first-use'] as const) {
      const { userData, ownHostKey } = await made(source, { console: true });
      expect([userData?.includes('ed25519_private'), ownHostKey]).toEqual([false, true]);
      expect(userData?.includes('check-in boot')).toBe(source === 'checkin');
    }
  });

  it('is refused before it is made where its provider shows no console', async () => {
    await expect(made('console')).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: 'Bundle own wants host keys from the console, and provider memory shows none.',
    });
  });

  it('is the same whatever the bundle says where the provider serves its SSH itself', async () => {
    expect(await made('checkin', { rekey: true })).not.toHaveProperty('ownHostKey');
  });
});

describe('an activity that meets a stranger', () => {
  it('is a security event in the log, and any other failure is none', async () => {
    const lines: unknown[] = [];
    const logger = pino({ base: null, timestamp: false }, { write: (line) => void lines.push(JSON.parse(line)) });
    const environment = new MockActivityEnvironment({ activityType: 'runStep' });
    const { inbound } = securityEvents(logger)(environment.context);
    const fails = (type: string) =>
      inbound?.execute?.({ args: [], headers: {} }, () => {
        throw ApplicationFailure.nonRetryable('another key', type);
      });
    await expect(fails('GuestUnreachable')).rejects.toThrow('another key');
    expect(lines).toEqual([]);
    await expect(fails('HostKeyMismatch')).rejects.toThrow('another key');
    expect(lines).toEqual([
      expect.objectContaining({ security: true, activity: 'runStep', msg: 'host key mismatch', error: 'another key' }),
    ]);
  });
});
