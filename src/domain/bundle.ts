import type { HostKeySource } from './host-key.ts';
import type { ReclaimPolicy } from './reuse.ts';
import type { UserData } from './user-data.ts';

/** A bundle's file, one of three sources. `text` and `from` (read when the bundle is loaded) end up in the blob store. */
export interface RecipeFile {
  readonly path: string;
  readonly source: { readonly blob: string } | { readonly url: string };
  /** Hex; always there for a blob. */
  readonly sha256?: string;
  readonly mode?: string;
  readonly owner?: string;
  readonly group?: string;
  readonly parents?: boolean;
  /** The bytes are a tar archive of a folder. */
  readonly tree?: boolean;
}

export interface RecipeCommand {
  readonly command: readonly string[] | { readonly shell: string };
  readonly env?: Readonly<Record<string, string>>;
  readonly secretEnv?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly user?: string;
  readonly limitMs: number;
  /** A non-zero exit does not fail the machine. */
  readonly allowFailure: boolean;
}

export interface CommandStep {
  readonly title: string;
  readonly command: RecipeCommand;
}

export type RecipeStep =
  | { readonly title: string; readonly file: RecipeFile }
  | CommandStep
  | { readonly title: string; readonly authorizedKeys: readonly string[] }
  /** A guest without user-data gets what it needs to call home. */
  | { readonly title: string; readonly checkIn: true };

/** Run again and again until it exits 0. */
export interface GateCommand {
  readonly command: readonly string[];
  readonly everyMs: number;
  readonly env?: Readonly<Record<string, string>>;
}

/**
 * When a machine counts as ready, beyond a full login and all steps done: at once; when a command exits 0; by a person's
 * word; when the guest's own last stage has posted that it succeeded; or by several of these, all or any.
 */
export type ReadyGate =
  | { readonly kind: 'steps' }
  | ({ readonly kind: 'command' } & GateCommand)
  | { readonly kind: 'manual' }
  | { readonly kind: 'checkin' }
  | {
      readonly kind: 'all' | 'any';
      readonly commands: readonly GateCommand[];
      readonly manual: boolean;
      readonly checkIn?: boolean;
    };

/** Whether the guest has to be able to call home. */
export const asksCheckIn = (gate: ReadyGate): boolean => gate.kind === 'checkin' || ('checkIn' in gate && gate.checkIn);

export const gateParts = ['command', 'manual', 'checkin'] as const;
export type GatePart = (typeof gateParts)[number];

/** What a workflow has to wait for: commands are an activity, a word is a signal. */
export function planGate(gate: ReadyGate): Pick<Plan, 'gate' | 'gateParts'> {
  if (!('commands' in gate)) return { gate: gate.kind };
  if (gate.checkIn !== true) return { gate: gate.manual ? gate.kind : 'command' };
  const parts: readonly GatePart[] = [
    ...(gate.commands.length > 0 ? (['command'] as const) : []),
    ...(gate.manual ? (['manual'] as const) : []),
    'checkin',
  ];
  return parts.length > 1 ? { gate: gate.kind, gateParts: parts } : { gate: 'checkin' };
}

/** Bounds of a machine's phases. `readyWithinMs` bounds the whole way from create to ready, the others lie inside it. */
export interface PhaseLimits {
  readonly readyWithinMs: number;
  readonly provisionWithinMs: number;
  readonly loadWithinMs: number;
  readonly accessWithinMs: number;
  readonly customizeWithinMs: number;
}

export interface Variant {
  readonly provider: string;
  /** The provider's own part, checked by the provider. */
  readonly spec: Readonly<Record<string, unknown>>;
}

/** A bundle resolved for one lease, stored by digest: an edit of the bundle never changes a running lease. */
export interface Recipe {
  readonly name: string;
  readonly variants: readonly Variant[];
  /** Of its machines' first boot, where the provider takes user-data. */
  readonly userData?: UserData;
  readonly steps: readonly RecipeStep[];
  readonly gate: ReadyGate;
  /** Of machines that are made with user-data; absent: rotated. */
  readonly hostKey?: HostKeySource;
  readonly limits: PhaseLimits;
  readonly ttlMs: number;
  readonly maxTtlMs: number;
  readonly attempts: number;
  readonly outputLimitBytes: number;
  readonly reclaim: ReclaimPolicy;
  /** Run on a machine that is reset, before all that is known to be a tenant's is taken away. */
  readonly resetCommands?: readonly CommandStep[];
  /** Folders that a reset leaves alone: the bundle's own commands see to them. */
  readonly resetLeaves?: readonly string[];
}

/** What a machine of a variant costs of its provider's account. */
export interface VariantQuota {
  readonly account: string;
  /** Provider, zone, size: what a stockout is of. */
  readonly place: string;
  readonly cores: number;
  readonly memoryMb: number;
}

/** What a workflow needs of a recipe; the rest is read by digest in activities. */
export interface Plan {
  /** `notice`: what to tell of it, for example that its file has mistakes and an older version is in force. */
  readonly bundle: { readonly name: string; readonly digest: string; readonly notice?: string };
  /** Provider names in the order to try them. */
  readonly variants: readonly string[];
  /** By variant, null where its account has no quota; absent where none has. */
  readonly quotas?: readonly (VariantQuota | null)[];
  readonly steps: readonly { readonly title: string; readonly limitMs: number; readonly allowFailure: boolean }[];
  readonly gate: ReadyGate['kind'];
  /** Of `all` and `any`, what they are of; absent: commands and a person's word. */
  readonly gateParts?: readonly GatePart[];
  /** As in the recipe. */
  readonly hostKey?: HostKeySource;
  /** What becomes of a pool's machine after each lease; absent: destroy. */
  readonly reclaim?: ReclaimPolicy;
  readonly limits: PhaseLimits;
  readonly ttlMs: number;
  readonly maxTtlMs: number;
  readonly attempts: number;
  /** Of a bundle that a pool keeps machines of. */
  readonly pool?: PooledBundle;
}

/** What the machines of a pool are made of: the same for every lease of the bundle as it stands. */
export interface PooledBundle {
  readonly name: string;
  /** Of all that a machine has by the bundle, without what a lease brings itself. */
  readonly digest: string;
  /** How many steps are the bundle's; a lease's own come after them. */
  readonly steps: number;
  /** It is asked within the task of the lease that wants to know. Absent in plans of before. */
  readonly atOnce?: true;
}
