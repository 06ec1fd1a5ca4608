import type { Plan, VariantQuota } from './bundle.ts';
import type { Evidence } from './evidence.ts';
import type { Reason } from './failure.ts';
import type { CheckIn } from './guest-post.ts';
import {
  type Access,
  type DebtKind,
  type MachinePhase,
  type PhaseTime,
  type QuotaWait,
  type StepFailure,
} from './lease.ts';
import type { PowerOrder } from './machine-power.ts';
import type { ReclaimPolicy } from './reuse.ts';
import type { Tuning } from './tuning.ts';

/** Beyond the lease's own end, before a machine of a silent lease reclaims itself. */
export const selfReclaimGraceMs = 120_000;
export const leaseGraceMs = (tuning: Tuning): number => tuning.leaseGraceMs ?? selfReclaimGraceMs;

/** What exists at a provider because of us; recorded before it is made, paid when seen gone. */
export interface Debt {
  readonly kind: DebtKind;
  readonly key: string;
  readonly sinceMs: number;
  /** Known after the create answered; the destroy finds it by key otherwise. */
  readonly ref?: Readonly<Record<string, string>>;
  /** From here on no attempt to create is under way any more: absence counts only later than this (plus the settle time). */
  readonly quietFromMs: number;
}

/** Files and keys that a lease brings itself: steps `from` (from 0) to below `of` of its own recipe. */
export interface OwnSteps {
  readonly digest: string;
  readonly from: number;
  readonly of: number;
}

/** Whom a pool's machine serves, as its pool says it. */
export interface Hold {
  readonly leaseId: string;
  /** Workflow id of the lease. */
  readonly holder: string;
  readonly ttlMs: number;
  readonly holdOnFailureMs?: number;
  readonly own?: OwnSteps;
}

export interface MachineInput {
  readonly machineId: string;
  /** Empty for a pool's machine: it serves one lease after the other, or none. */
  readonly leaseId: string;
  /** Kept warm for a pool, which is its holder. */
  readonly pool?: { readonly name: string };
  /** Workflow id of who is told; absent when only reclaiming. */
  readonly holder?: string;
  readonly provider: string;
  readonly variant: number;
  /** First execution's run id of the lease or pool that wanted it: with the id it makes the provider's key and all derived secrets. */
  readonly birth: string;
  readonly key: string;
  readonly plan: Plan;
  /** Whom it is for, and where it stands among those that wait: as the lease. */
  readonly owner?: string;
  readonly priority?: number;
  /** There is no other place to go to: where this one has no capacity it waits. */
  readonly patient?: boolean;
  readonly ttlMs: number;
  readonly holdOnFailureMs?: number;
  readonly tuning: Tuning;
  /** An orphan found by the sweep: nothing but its debt. */
  readonly reclaimOnly?: {
    readonly ref?: Readonly<Record<string, string>>;
    /** Where it may count for quota. */
    readonly account?: string;
  };
  readonly carried?: MachineLife;
}

export const machineCauses = ['released', 'failed', 'lost', 'leaseClosed', 'expired', 'retired', 'tainted'] as const;
export type MachineCause = (typeof machineCauses)[number];

/** The state of one incarnation, carried over continue-as-new. Times are epoch ms of the workflow's clock. */
export interface MachineLife {
  readonly phase: MachinePhase;
  readonly sinceMs: number;
  readonly bornMs: number;
  readonly phases: readonly PhaseTime[];
  readonly generation: number;
  readonly debts: readonly Debt[];
  readonly access?: Access;
  /** Why its guest goes on with the host key that it was given. */
  readonly unrotated?: string;
  readonly facts: Readonly<Record<string, string>>;
  readonly nextStep: number;
  /** Since when the way to ready counts; since its birth when absent. */
  readonly provingSinceMs?: number;
  /** While it waits for quota: what it was told when it asked. */
  readonly waiting?: QuotaWait;
  /** Of a pool's machine: the lease that has it, until its end. */
  readonly lease?: Hold;
  /** How many leases have had it. */
  readonly uses?: number;
  /** What was done to it that nothing undoes for sure: it is never used again. */
  readonly taint?: string;
  /** What was decided after its last lease, and why. */
  readonly decision?: { readonly do: ReclaimPolicy; readonly why: string; readonly atMs: number };
  /** A digest of what its guest remembers of itself before its first lease; where it may be reset. */
  readonly baseline?: string;
  /** The generation whose keys its guest has, where that is an earlier one: not every guest can be given others. */
  readonly keys?: number;
  /** Not to be used again, and why: it goes as soon as nobody leases it. */
  readonly retiring?: string;
  /** What its guest has told of itself in this generation. */
  readonly checkIn?: CheckIn;
  readonly marked?: { readonly result: number; readonly message?: string };
  readonly leaseUntilMs?: number;
  readonly heldUntilMs?: number;
  /** Why it came to reclaiming. `released` is the holder's own wish: then nobody waits for the end. */
  readonly cause?: MachineCause;
  readonly reason?: Reason;
  readonly failedStep?: StepFailure;
  /** Why a person gave it up while it could not be destroyed. Its debts stay written here, and nobody pays them. */
  readonly forgotten?: string;
  /** Why its provider keeps it, a standing machine, from everybody. */
  readonly takenOut?: string;
  /** Why it failed, as it was asked then; empty: it had nothing to say. */
  readonly evidence?: readonly Evidence[];
  /** What was asked of its power last, and done. */
  readonly power?: PowerOrder;
  /** What is being asked of its provider now. */
  readonly powering?: PowerOrder;
}

/** What it costs of its account, where that has a quota. */
export const quotaOf = ({ plan, variant }: MachineInput): VariantQuota | undefined =>
  plan.quotas?.[variant] ?? undefined;

/** How many steps the present customizing goes through: the bundle's, or in the end also the lease's own. */
export const stepsOf = (input: MachineInput, life: MachineLife): number =>
  life.lease?.own?.of ?? input.plan.steps.length;
