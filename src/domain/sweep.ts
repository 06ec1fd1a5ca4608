import type { Reason } from './failure.ts';

/** Something with our tags at a provider. */
interface Found {
  readonly machineId: string;
  readonly provider: string;
  /** `machine`, or the provider's word for a resource that was made for one (volume, address …). */
  readonly kind: string;
  readonly key: string;
  readonly state: string;
  /** ISO 8601. */
  readonly createdAt: string;
}

/** What has no open workflow. */
export interface Orphan extends Found {
  /** Its end has begun: a workflow was started that destroys the machine and sees it gone; another resource was deleted. */
  readonly reclaimed: boolean;
}

/** What a person gave up while its provider has it still: shown, and left alone. */
export interface Forgotten extends Found {
  readonly reason: string;
}

/** What a sweep found, by its last look at each provider. */
export interface SweepReport {
  readonly providers: readonly string[];
  /** ISO 8601. */
  readonly at: string;
  /** Machines with our tag whose workflow is open. */
  readonly owned: number;
  readonly orphans: readonly Orphan[];
  readonly forgotten: readonly Forgotten[];
  /** Of all machines with our tag, whoever owns them. */
  readonly oldest?: { readonly machineId: string; readonly createdAt: string };
  /** Providers that gave no whole inventory: nothing of theirs was judged, so nothing was touched. */
  readonly failures: readonly { readonly provider: string; readonly reason: Reason }[];
  /** Orphans whose end this sweep has begun; of a scheduled one, all since its schedule was made. */
  readonly reclaimed: number;
  /** Of a scheduled sweep: when its provider last gave a whole inventory. */
  readonly lastGoodAt?: string;
}

/** What is known of the last workflow under a machine's id. */
export interface OwnerLife {
  readonly open: boolean;
  /** The provider key of that life; unknown of one that began before it was noted. */
  readonly key?: string;
  /** Why a person gave it up. */
  readonly forgotten?: string;
}

/** An id can come again, and the life that has it now may be another's. */
export const isOtherLife = (key: string, life: OwnerLife | undefined): boolean =>
  life?.key !== undefined && life.key !== key;

/**
 * Pure: what carries this key, judged by the life under its machine's id and, where that is another's, by the one beside it.
 * A live owner always wins.
 */
export function judge(key: string, life: OwnerLife | undefined, beside?: OwnerLife): 'owned' | 'forgotten' | 'orphan' {
  const owner = isOtherLife(key, life) ? beside : life;
  if (owner?.open) return 'owned';
  return owner?.forgotten === undefined ? 'orphan' : 'forgotten';
}

/**
 * Pure: what a scheduled sweep leaves to the next one. A provider that could not be listed keeps the counts of its last
 * good look, with the failure beside them.
 */
export function afterSweep(before: SweepReport | undefined, now: SweepReport): SweepReport {
  const failed = now.failures.length > 0;
  const lastGoodAt = failed ? before?.lastGoodAt : now.at;
  const seen = failed && before ? { ...before, at: now.at, failures: now.failures } : now;
  return {
    ...seen,
    reclaimed: (before?.reclaimed ?? 0) + now.reclaimed,
    ...(lastGoodAt === undefined ? {} : { lastGoodAt }),
  };
}
