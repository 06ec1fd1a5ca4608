import type { Plan } from './bundle.ts';
import type { Reason } from './failure.ts';
import type { Access } from './lease.ts';
import type { OwnSteps } from './machine.ts';
import type { PoolMachineFacts } from './machine-report.ts';
import type { PoolMost } from './pool-quota.ts';
import type { Tuning } from './tuning.ts';

/** A time of the week, or the like, in which a pool keeps another number of machines. */
export interface PoolPeriodRule {
  /** When a period begins: minute, hour, day of month, month, day of week. */
  readonly cron: string;
  /** IANA name; UTC when absent. */
  readonly timezone?: string;
  /** How long it lasts, or the cron expression of its end: one of the two. */
  readonly forMs?: number;
  readonly until?: string;
  readonly target: number;
}

/** What an operator declares of a pool. */
export interface PoolSettings {
  readonly bundle: string;
  /** So many machines stand warm, beyond those on lease. */
  readonly target: number;
  /** So many exist at most, in whatever state, until they are seen gone. */
  readonly ceiling: number;
  /** A machine that stood idle for so long is replaced. */
  readonly idleMs?: number;
  /** A machine that has served so many leases is not used again. */
  readonly maxUses?: number;
  readonly schedule?: readonly PoolPeriodRule[];
}

export interface PoolDeclaration {
  readonly settings: PoolSettings;
  /** Of the bundle as it stands; the last known one stays in force when absent. */
  readonly plan?: Plan;
  /** Why the bundle, or what is declared of the pool, cannot be used as it stands. */
  readonly reason?: Reason;
  /** These settings cannot be: those that are in force stay. */
  readonly refused?: true;
  /** More machines than this the quotas of its accounts would never allow. */
  readonly most?: PoolMost;
  /** The successor of a machine is made so long after it was given away: until then its lease has the computer. */
  readonly refillAfterMs?: number;
  readonly tuning: Tuning;
}

/** What a lease asks of a pool. Asked again with the same attempt it is the same claim. */
export interface Claim {
  readonly leaseId: string;
  readonly attempt: number;
  readonly owner: string;
  readonly priority: number;
  /** Of the bundle that the lease was resolved with, without what the lease brings itself. */
  readonly digest: string;
  readonly ttlMs: number;
  readonly holdOnFailureMs?: number;
  readonly own?: OwnSteps;
}

/** What a lease needs to know of a machine that it can use as it stands, having nothing to install first. */
export interface WarmMachine {
  readonly key: string;
  readonly access: Access;
  readonly facts: PoolMachineFacts;
}

/** How a claim stands. `none`: the pool has nothing for this lease, which makes its own machine; `failed`: nor could that. */
export type ClaimAnswer =
  | {
      readonly state: 'granted';
      readonly machineId: string;
      readonly provider: string;
      readonly warm?: WarmMachine;
    }
  | { readonly state: 'queued'; readonly place: number; readonly estimateMs?: number }
  | { readonly state: 'none'; readonly why: string }
  | { readonly state: 'failed'; readonly reason: Reason };

/** What comes to a lease after it was queued. */
export type Grant = Exclude<ClaimAnswer, { readonly state: 'queued' }> & { readonly attempt: number };

export interface Waiting extends Claim {
  readonly sinceMs: number;
  /** First come, first served: the number of its coming. */
  readonly nth: number;
}

/**
 * How far a machine's lease has been served: its lease is told, then the machine is held for it. In between stands who
 * waits for an answer of the server (`…ing`).
 */
export type ClaimStage = 'toTell' | 'telling' | 'toHold' | 'holding' | 'held' | 'releasing';

export interface ServedClaim extends Waiting {
  readonly stage: ClaimStage;
  readonly grantedMs: number;
  /** The lease does not want it any more. */
  readonly withdrawn?: boolean;
}

export interface PoolMachine {
  readonly machineId: string;
  readonly provider: string;
  /** Of the bundle that it was made from. */
  readonly digest: string;
  readonly phase: 'making' | 'warm' | 'leased' | 'leaving' | 'stuck';
  /** Being made ready again after a lease, not for the first time. */
  readonly renewing?: boolean;
  readonly sinceMs: number;
  readonly uses: number;
  readonly claim?: ServedClaim;
  /** It was told not to be used again, and why. */
  readonly retiring?: string;
  /** As it said itself when it became warm. */
  readonly warm?: WarmMachine;
}

/** A span with a target of its own. */
export interface PoolPeriod {
  readonly fromMs: number;
  readonly untilMs: number;
  readonly target: number;
}

/** The last few durations, newest last. */
export interface Measured {
  /** From start to warm. */
  readonly makeMs: readonly number[];
  /** From grant to the end of the lease. */
  readonly useMs: readonly number[];
  /** From the end of the lease to seen gone. */
  readonly leaveMs: readonly number[];
}

/** Machines fail to get ready: tries become rare. */
export interface PoolFailing {
  /** Tries in a row; those of one moment count once. */
  readonly tries: number;
  readonly reason: Reason;
  readonly retryAtMs: number;
}

/** The state of a pool, carried over continue-as-new. Times are epoch ms of the workflow's clock. */
export interface PoolLife {
  readonly name: string;
  readonly bornMs: number;
  readonly declared: PoolDeclaration;
  /** Set by hand; stands until the declaration changes. */
  readonly set: { readonly target?: number; readonly ceiling?: number };
  /** `drained`: by hand, until a target is set; `retracted`: not declared any more. */
  readonly mode: 'open' | 'drained' | 'retracted';
  readonly why?: string;
  readonly machines: readonly PoolMachine[];
  readonly waiting: readonly Waiting[];
  /** Leases whose waiting has come to nothing, still to be told. */
  readonly refusals: readonly { readonly leaseId: string; readonly grant: Grant }[];
  /** Claims that are over, newest last: they may arrive again. */
  readonly over: readonly { readonly leaseId: string; readonly attempt: number }[];
  readonly nextMachine: number;
  readonly nextNth: number;
  /** Index of the bundle's variant that machines are made of now. */
  readonly variant: number;
  readonly failing?: PoolFailing;
  readonly measured: Measured;
  /** What the schedule says, as far as it is known. */
  readonly periods?: { readonly list: readonly PoolPeriod[]; readonly knownUntilMs: number };
  readonly refused: readonly string[];
}

export const bornPool = (name: string, declared: PoolDeclaration, nowMs: number): PoolLife => ({
  name,
  bornMs: nowMs,
  declared,
  set: {},
  mode: 'open',
  machines: [],
  waiting: [],
  refusals: [],
  over: [],
  nextMachine: 1,
  nextNth: 1,
  variant: 0,
  measured: { makeMs: [], useMs: [], leaveMs: [] },
  refused: [],
});

/** What machines of this bundle are made of; one that was made of another is not given away as this. */
export const digestIn = (plan: Plan): string => plan.pool?.digest ?? plan.bundle.digest;

/** Nobody has it, and nobody is about to. */
export const isIdle = (machine: PoolMachine): boolean =>
  machine.phase === 'warm' && machine.claim === undefined && machine.retiring === undefined;

export const ceilingOf = (life: PoolLife): number => life.set.ceiling ?? life.declared.settings.ceiling;

/** How many machines should stand warm now; never more than the ceiling. Of periods that overlap the highest counts. */
export function targetOf(life: PoolLife, nowMs: number): number {
  if (life.mode !== 'open') return 0;
  return Math.min(ceilingOf(life), life.set.target ?? scheduledTarget(life, nowMs));
}

export function scheduledTarget({ declared, periods }: PoolLife, nowMs: number): number {
  const now = (periods?.list ?? []).filter(({ fromMs, untilMs }) => fromMs <= nowMs && nowMs < untilMs);
  return now.length > 0 ? Math.max(...now.map(({ target }) => target)) : declared.settings.target;
}

/** The next instant at which the schedule may change its mind. */
export function nextPeriodChangeMs({ periods }: PoolLife, nowMs: number): number | undefined {
  const edges = (periods?.list ?? []).flatMap(({ fromMs, untilMs }) => [fromMs, untilMs]).filter((ms) => ms > nowMs);
  return edges.length > 0 ? Math.min(...edges) : undefined;
}
