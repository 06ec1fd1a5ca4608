import type { MachineLife } from './machine.ts';

/**
 * What vouches for the host key that a machine is known by. `injected`: slipway made it and gave it to the machine.
 * `rotated`: the guest made it, and told it over a connection that the injected one had proven. `inventory`: a person wrote
 * it down.
 */
export const pinSources = ['injected', 'rotated', 'inventory'] as const;
export type PinSource = (typeof pinSources)[number];

/** An OpenSSH public key, `ssh-ed25519 AAAA…`, and what `ssh-keygen -l` shows of it. */
export interface HostKey {
  readonly hostKey: string;
  readonly fingerprint: string;
}

/**
 * What became of a guest's host key as it was logged in to. `next`: the guest has made one, and does not serve it yet;
 * `rotated`: it serves that, and nothing else; `kept`: why it goes on with the one that it was given.
 */
export type HostKeyNews = { readonly next: string } | { readonly rotated: HostKey } | { readonly kept: string };

/** Pure: both keys count from the moment at which the guest may switch to the next one, until it is proven that it has. */
export function withHostKey(life: MachineLife, news: HostKeyNews): MachineLife {
  if (!life.access) return life;
  const { unrotated: _why, ...rest } = life;
  if ('next' in news) return { ...rest, access: { ...life.access, nextHostKey: news.next } };
  const { nextHostKey: _next, ...access } = life.access;
  return 'kept' in news
    ? { ...rest, access, unrotated: news.kept }
    : { ...rest, access: { ...access, ...news.rotated, pin: 'rotated' } };
}
