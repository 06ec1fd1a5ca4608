import type { CommandStep } from '../domain/bundle.ts';
import type { StandingMachine } from '../domain/inventory.ts';
import type { PowerAction } from '../domain/power.ts';
import type { ProviderState } from '../domain/reuse.ts';

/**
 * The provider contract: a source of machines. Every verb is idempotent and obeys its `AbortSignal`; a driver never waits
 * for a state and never retries by itself, because the core owns waits and retries so that they can be resumed.
 */

/** How a provider tells two creates with one key apart: by the key itself, by a unique name, or not at all. */
export type IdempotentCreate = 'token' | 'name' | 'none';

export interface Capabilities {
  readonly idempotentCreate: IdempotentCreate;
  /** How long after a call its effect may still be invisible, or still appear. */
  readonly settleMs: number;
  /** Of `CreateSpec.userData`; 0: it takes none. */
  readonly userDataMaxBytes: number;
  /** Declared abilities beyond the seven verbs. An ability that is not declared is not there. */
  readonly power: boolean;
  readonly console: boolean;
  /** It has the verb `reload`. */
  readonly reload: boolean;
  /** It has the verb `rekey`: the guest's SSH is served or configured from outside the guest. */
  readonly rekey: boolean;
  /**
   * Its machines were there before us and stay: they are claimed and given back, clean (`CreateSpec.reset`), and keep their
   * own host key, which it tells (`MachineView.access`). It has `standing`.
   */
  readonly standing?: boolean;
  /** It has `images`. */
  readonly images?: boolean;
  /** It has `userData`: what a machine was given can be read back and changed. */
  readonly userData?: boolean;
  /**
   * Where its guests reach what listens on this host's loopback, for example `10.0.2.2` in QEMU's user network. Absent: they
   * reach only what has an address of its own.
   */
  readonly hostAddress?: string;
}

/** Opaque to the core, JSON, small, no secrets: how the provider finds its machine again. */
export type ProviderRef = Readonly<Record<string, string>>;

/** Every machine carries these at the provider, so that two installations in one account never touch each other's. */
export interface OwnerTags {
  readonly 'slipway-installation': string;
  readonly 'slipway-machine': string;
  readonly 'slipway-lease': string;
  readonly 'slipway-key': string;
}

export interface CreateSpec extends Identity {
  /** Host name in the guest, `[a-z0-9-]`. */
  readonly hostname: string;
  /** Provider-specific part of the bundle's variant (zone, size, image …), checked by the provider. */
  readonly variant: Readonly<Record<string, unknown>>;
  /** The machine's cloud-init document, for a provider that takes one. Secret: it may hold the host key. */
  readonly userData?: string;
  /** Its guest makes a host key of its own as it first boots: it is not given `hostKey`. */
  readonly ownHostKey?: true;
  /** Of a bundle that says how its machines become clean; for standing machines. */
  readonly reset?: {
    readonly commands: readonly CommandStep[];
    /** Absolute folders on the guest that the commands see to. */
    readonly leaves: readonly string[];
  };
}

/** The keys of one generation of a machine. */
export interface Identity {
  /** Injected identity: OpenSSH private key (PEM) that the guest's sshd must serve. Secret: never logged, never in history. */
  readonly hostKey: string;
  /** OpenSSH public keys (`ssh-ed25519 AAAA…`) that may log in as the login user. */
  readonly authorizedKeys: readonly string[];
}

export type MachineState = ProviderState;

export interface MachineView {
  readonly state: MachineState;
  /** How to reach the guest; only when running. */
  readonly access?: {
    readonly address: string;
    readonly port: number;
    readonly user: string;
    /** OpenSSH public key that its sshd serves, where that is not the injected one and the provider has it from a source that nobody else can write to: of a standing machine, and of a guest that makes its own and tells it to its host. */
    readonly hostKey?: string;
  };
  /** Which generation it has become by `reload` or `rekey`; absent is 1, as it was created. */
  readonly generation?: number;
  /** Of an absent one that was standing: nobody gets it again, and why; nothing of its lease could be proven to be gone. */
  readonly takenOut?: string;
  /** Of a stopped one that nobody has switched off: what stopped it, for people. */
  readonly fault?: string;
  /** Small facts for people: tier, zone, boot count … */
  readonly facts?: Readonly<Record<string, string>>;
}

export interface InventoryItem {
  readonly key: string;
  readonly ref: ProviderRef;
  readonly tags: OwnerTags;
  readonly state: MachineState;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** A resource that was made for a machine and can outlive it: a volume, an address, a port, a key pair. */
export interface ResourceItem extends Omit<InventoryItem, 'state'> {
  /** The provider's own word. */
  readonly kind: string;
  readonly state: string;
}

/** Of a provider whose machines come with resources of other kinds. Not there: a machine that is gone has left nothing. */
export interface Resources {
  /** All of one installation, or an error: never partial. */
  list(installation: string, signal: AbortSignal): Promise<readonly ResourceItem[]>;
  /** Submits; what is not there is success. Absence is read through `list`. */
  destroy(item: Pick<ResourceItem, 'kind' | 'ref'>, signal: AbortSignal): Promise<void>;
}

/** Of a provider whose machines stand. */
export interface Standing {
  list(signal: AbortSignal): Promise<readonly StandingMachine[]>;
  /**
   * Into use again: an operator answers for what it is like. It must answer with its pinned key.
   * @throws DomainError NotFound, InvalidRequest (it is not out), and what keeps us from it
   */
  putBack(name: string, signal: AbortSignal): Promise<StandingMachine>;
}

/** What a machine can be made from. */
export interface ImageView {
  readonly name: string;
  readonly sizeBytes: number;
  /** Hex, of its content, where that is known. */
  readonly sha256?: string;
  /** By an operator in the settings, or taken of a machine. */
  readonly source: 'configured' | 'captured';
  /** A booted snapshot of it stands ready: its machines are clones of that. */
  readonly warm?: boolean;
  /** ISO 8601; of a captured one. */
  readonly createdAt?: string;
}

/** Of a provider that keeps images. */
export interface Images {
  list(signal: AbortSignal): Promise<readonly ImageView[]>;
  /** @throws DomainError NotFound */
  resolve(name: string, signal: AbortSignal): Promise<ImageView>;
  /**
   * Of a machine as it is now, under a new name. The same machine and name twice is the same image.
   * @throws DomainError IdConflict for a name that another image has, Gone
   */
  capture(ref: ProviderRef, name: string, signal: AbortSignal): Promise<ImageView>;
  /** A captured one; what is not there is success. @throws DomainError InvalidRequest for a configured one */
  remove(name: string, signal: AbortSignal): Promise<void>;
}

/** Of a provider that keeps what a machine was given. */
export interface UserDataAccess {
  /** @throws DomainError Gone */
  read(ref: ProviderRef, signal: AbortSignal): Promise<string>;
  /** The guest sees it when it asks, or boots next as the same instance. @throws DomainError Gone, InvalidRequest (too long) */
  update(ref: ProviderRef, text: string, signal: AbortSignal): Promise<void>;
}

/** One line of `slipway provider check`. */
export interface CheckItem {
  readonly name: string;
  readonly ok: boolean;
  /** What was found, or what is missing and how to get it. */
  readonly text: string;
}
export interface ProviderCheck {
  readonly ok: boolean;
  /** For example `tier root` for `local`. */
  readonly summary: string;
  readonly items: readonly CheckItem[];
}

/** Verbs beyond the seven. Each is there exactly when `capabilities()` says so. */
export interface Abilities {
  /**
   * Makes the machine anew from its image, in place: same ref and address, nothing of what was on it, another boot, the
   * identity of `spec`. Submits, as create does: until it is done `get` says `pending` or the old generation. Idempotent by
   * generation: a generation that the machine has, or has left behind, changes nothing; also when a try was cut off.
   * @param generation counts from 2
   * @throws DomainError Gone for a machine that is not there; otherwise as create
   */
  reload(ref: ProviderRef, spec: CreateSpec, generation: number, signal: AbortSignal): Promise<void>;
  /**
   * Gives the running machine another identity and ends its connections; all else stays. Idempotent as `reload`.
   * @throws DomainError Gone for a machine that is not there
   */
  rekey(ref: ProviderRef, identity: Identity, generation: number, signal: AbortSignal): Promise<void>;
  /**
   * Submits; `on` of a running machine and `off` of a stopped one change nothing. How it stands is read by `get`.
   * @throws DomainError Gone for a machine that is not there
   */
  power(ref: ProviderRef, action: PowerAction, signal: AbortSignal): Promise<void>;
  /** The end of what its console has said, at most so many bytes, as it is. @throws DomainError Gone */
  console(ref: ProviderRef, maxBytes: number, signal: AbortSignal): Promise<string>;
}

export interface Provider extends Partial<Abilities> {
  readonly name: string;
  capabilities(): Capabilities;
  /**
   * The same key twice is the same machine, also concurrently.
   * @throws DomainError CapacityUnavailable, QuotaExceeded, RateLimited, ProviderUnavailable, ProviderAuthRefused, InvalidRequest
   */
  create(key: string, spec: CreateSpec, tags: OwnerTags, signal: AbortSignal): Promise<ProviderRef>;
  /** "Did my lost create happen?" */
  findByKey(key: string, signal: AbortSignal): Promise<ProviderRef | undefined>;
  get(ref: ProviderRef, signal: AbortSignal): Promise<MachineView>;
  /** All of one installation, or an error: never partial. */
  list(installation: string, signal: AbortSignal): Promise<readonly InventoryItem[]>;
  /** Submits; what is not there is success. Absence is read through `get`. */
  destroy(ref: ProviderRef, signal: AbortSignal): Promise<void>;
  readonly resources?: Resources;
  readonly standing?: Standing;
  readonly images?: Images;
  readonly userData?: UserDataAccess;
  /** @param quick what takes seconds to prove is not proven anew */
  check(signal: AbortSignal, quick?: boolean): Promise<ProviderCheck>;
  /** Frees sockets held by this client; machines are untouched. */
  close(): Promise<void>;
}
