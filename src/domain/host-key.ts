import type { MachineLife } from './machine.ts';

/**
 * Where a bundle wants the host key of its machines to come from. `injected`: slipway makes it and gives it to the machine;
 * `rotated`: that, until the guest has made one of its own at the first login. The others are made by the guest as it first
 * boots: it posts them when it calls home, prints them on its console, or they are taken from whoever answers first.
 */
export const hostKeySources = ['rotated', 'injected', 'checkin', 'console', 'first-use'] as const;
export type HostKeySource = (typeof hostKeySources)[number];

/**
 * What vouches for the host key that a machine is known by. `inventory`: a person wrote it down; `provider`: the guest made
 * it, and told it to its provider over a line that nobody else has.
 */
export const pinSources = [...hostKeySources, 'inventory', 'provider'] as const;
export type PinSource = (typeof pinSources)[number];

/** Nothing of theirs is known before the guest has made it. */
const guestsOwn = ['checkin', 'console', 'first-use'] as const;
type GuestsOwn = (typeof guestsOwn)[number];
export const isGuestsOwn = (source: PinSource | undefined): source is GuestsOwn =>
  guestsOwn.some((each) => each === source);

/** An OpenSSH public key, `ssh-ed25519 AAAA…`, and what `ssh-keygen -l` shows of it. */
export interface HostKey {
  readonly hostKey: string;
  readonly fingerprint: string;
}

/**
 * What became of a guest's host key as it was logged in to. `next`: the guest has made one, and does not serve it yet;
 * `rotated`: it serves that, and nothing else; `kept`: why it goes on with the one that it was given; `learned`: what it is
 * known by from now on, where nothing was.
 */
export type HostKeyNews =
  { readonly next: string } | { readonly rotated: HostKey } | { readonly kept: string } | { readonly learned: HostKey };

/** Pure: both keys count from the moment at which the guest may switch to the next one, until it is proven that it has. */
export function withHostKey(life: MachineLife, news: HostKeyNews): MachineLife {
  if (!life.access) return life;
  const { unrotated: _why, ...rest } = life;
  if ('next' in news) return { ...rest, access: { ...life.access, nextHostKey: news.next } };
  const { nextHostKey: _next, ...access } = life.access;
  if ('kept' in news) return { ...rest, access, unrotated: news.kept };
  // Learned is only what was not known.
  if ('learned' in news) return access.hostKey === '' ? { ...rest, access: { ...access, ...news.learned } } : life;
  return { ...rest, access: { ...access, ...news.rotated, pin: 'rotated' } };
}

/** Most wanted first; what else a guest has is of no use to us. */
const keyTypes = ['ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp384', 'ecdsa-sha2-nistp521', 'ssh-rsa'];
const keyLine = /(?:ssh|ecdsa)-[a-z0-9-]+ AAAA[A-Za-z0-9+/]+={0,2}/;

/** Pure: which of a guest's host keys it is known by. */
export function chosenHostKey(keys: readonly string[]): string | undefined {
  for (const type of keyTypes) {
    const found = keys.map((key) => keyLine.exec(key)?.[0]).find((key) => key?.startsWith(`${type} `));
    if (found !== undefined) return found;
  }
  return undefined;
}

const block = /-----BEGIN SSH HOST KEY KEYS-----([^]*?)-----END SSH HOST KEY KEYS-----/;

/**
 * Pure: the host keys that cloud-init prints on a console, once its last word on them is there. The first block counts: what
 * comes later may be anybody's.
 * https://docs.cloud-init.io/en/latest/reference/modules.html#keys-to-console
 */
export const hostKeysOn = (console: string): readonly string[] =>
  (block.exec(console)?.[1] ?? '').split('\n').filter((line) => keyLine.test(line));
