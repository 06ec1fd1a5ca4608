import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import type { Plan, Recipe } from '../domain/bundle.ts';
import { DomainError } from '../domain/failure.ts';
import type { CheckInIdentity } from '../domain/guest-post.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import type { Account } from '../domain/quota.ts';
import type { Tuning } from '../domain/tuning.ts';
import type { WatchTimes } from '../domain/watch-times.ts';
import type { Guest, GuestAddress, Guests } from '../guest/guest.ts';
import { deriveSeed, opensshKeyPair, type OpensshKeyPair } from '../guest/openssh-key.ts';
import type { FetchedStore } from '../output/fetched-store.ts';
import type { BlobStore, OutputStore } from '../output/output-store.ts';
import type { Provider } from '../providers/provider.ts';
import type { GuestRef, MachineRef } from './activities.ts';

/** What the worker wires together for the activities. */
export interface Deps {
  readonly providers: ReadonlyMap<string, Provider>;
  readonly guests: Guests;
  readonly outputs: OutputStore;
  readonly blobs: BlobStore;
  /** What the settings say now. */
  readonly accounts: () => Promise<readonly Account[]>;
  readonly fetched: FetchedStore;
  readonly resolve: (request: LeaseRequest) => Promise<{ readonly recipe: Recipe; readonly plan: Plan }>;
  readonly secrets: {
    /** The value of an operator's secret, or of the lease's sealed one (`lease:NAME`). */
    readonly value: (leaseId: string, name: string) => Promise<string>;
    readonly forget: (leaseId: string) => Promise<void>;
  };
  /** Hosts that notifications may go to, as the settings say now; undefined: any. */
  readonly notifyAllow: () => Promise<readonly string[] | undefined>;
  /** What a machine's guest proves itself by, and where it calls. @throws DomainError InvalidRequest */
  readonly bootString: (who: CheckInIdentity, hostAddress: string | undefined) => Promise<string>;
  readonly installation: { readonly key: Uint8Array; readonly id: string };
  readonly client: Client;
  readonly tuning: Tuning;
  readonly times: WatchTimes;
  readonly logger: Logger;
}

export function providerOf(deps: Deps, name: string): Provider {
  const provider = deps.providers.get(name);
  if (provider) return provider;
  throw new DomainError(
    'InvalidRequest',
    `Provider ${name} is not configured (${[...deps.providers.keys()].join(', ')}).`,
  );
}

/** A recipe never changes under its digest, so each is read once. */
const recipes = new Map<string, Promise<Recipe>>();

export function recipeOf(deps: Deps, digest: string): Promise<Recipe> {
  const known = recipes.get(digest);
  if (known) return known;
  const read = deps.blobs.get(digest).then((bytes) => JSON.parse(new TextDecoder().decode(bytes)) as Recipe);
  if (recipes.size > 500) recipes.clear();
  recipes.set(digest, read);
  read.catch(() => recipes.delete(digest));
  return read;
}

/** Derived from the installation's secret, never stored: any worker makes the same ones again. */
export function keyOf(deps: Deps, machine: MachineRef, purpose: 'host-key' | 'client-key'): OpensshKeyPair {
  const { machineId, birth, keys: generation = machine.generation } = machine;
  return opensshKeyPair(
    deriveSeed(deps.installation.key, { machineId, birth, generation }, purpose),
    `slipway ${machineId}`,
  );
}

export const guestOf = (deps: Deps, guest: GuestRef): Guest =>
  deps.guests.at(addressOf(deps, guest), keyOf(deps, guest.machine, 'client-key').privateKey);

export function addressOf(deps: Deps, { machine, access }: GuestRef): GuestAddress {
  const { address, port, user, pin = 'injected', nextHostKey } = access;
  // What we gave it is derived again, not taken from what a workflow was told; any other key is the guest's own.
  const own = pin !== 'injected' || isStanding(deps, machine);
  const hostKey = own ? access.hostKey : keyOf(deps, machine, 'host-key').publicKey;
  const next = nextHostKey === undefined ? {} : { nextHostKey };
  const id = `${machine.key}.${machine.generation}`;
  return { id, name: machine.machineId, address, port, user, hostKey, ...next };
}

export const isStanding = (deps: Deps, { provider }: MachineRef): boolean =>
  providerOf(deps, provider).capabilities().standing === true;
