import { isCooling } from './cool-down.ts';
import { totalOf, usesBy, type Use } from './quota-use.ts';
import { whyWaiting } from './quota-words.ts';
import { queueOf, type AccountQuota, type Ledger, type Reservation } from './quota.ts';
import { takeCalls, type CallRate, type TokenBucket } from './token-bucket.ts';

/** What is shown of each reservation, as it was asked for. */
const shown = ['key', 'machineId', 'leaseId', 'owner', 'provider', 'cores', 'memoryMb'] as const;
type Shown = Pick<Reservation, (typeof shown)[number]>;

interface QuotaMachine extends Shown {
  /** ISO 8601: since when it has its quota, or waits for it. */
  readonly since: string;
}

export interface QuotaHolder extends QuotaMachine {
  /** It never asked: it was found at the provider. */
  readonly found?: boolean;
  /** The last look at the provider did not see it. */
  readonly missing?: boolean;
}

export interface QuotaWaiter extends QuotaMachine {
  readonly priority: number;
  /** From 1. */
  readonly place: number;
  readonly why: string;
}

/** The answer of the query `status` of `quota/<account>`, and of `GET /v1/quotas/{account}`. */
export interface QuotaStatus {
  readonly account: string;
  readonly quota: AccountQuota;
  readonly inUse: Use;
  readonly owners: readonly (Use & { readonly owner: string; readonly waiting: number })[];
  readonly held: readonly QuotaHolder[];
  /** In the order in which they are served. */
  readonly waiting: readonly QuotaWaiter[];
  /** Places that had no capacity and are not asked until then. */
  readonly coolDowns: readonly { readonly place: string; readonly until: string }[];
  readonly rate?: CallRate & { readonly callsLeft: number; readonly pausedUntil?: string };
  /** Reservations that a look at the provider has corrected. */
  readonly healed: number;
}

const iso = (ms: number): string => new Date(ms).toISOString();

const machineOf = (each: Reservation): QuotaMachine => {
  const told = Object.fromEntries(shown.map((key) => [key, each[key]])) as unknown as Shown;
  return { ...told, since: iso(each.sinceMs) };
};

export function quotaStatusOf(
  ledger: Ledger,
  calls: { readonly rate: CallRate; readonly bucket: TokenBucket } | undefined,
  nowMs: number,
): QuotaStatus {
  const why = whyWaiting(ledger, nowMs);
  const uses = usesBy(ledger.held);
  const owners = new Set([...uses.keys(), ...ledger.waiting.map(({ owner }) => owner)]);
  return {
    account: ledger.account,
    quota: ledger.quota,
    inUse: totalOf(ledger.held),
    owners: [...owners].map((owner) =>
      Object.assign(
        { owner, waiting: ledger.waiting.filter((each) => each.owner === owner).length },
        uses.get(owner) ?? totalOf([]),
      ),
    ),
    held: ledger.held.map((each) =>
      Object.assign(machineOf(each), each.found ? { found: true } : {}, each.missing ? { missing: true } : {}),
    ),
    waiting: queueOf(ledger).map((each, n) =>
      Object.assign(machineOf(each), { priority: each.priority, place: n + 1, why: why(each) }),
    ),
    coolDowns: ledger.coolDowns
      .filter((each) => isCooling(each, nowMs))
      .map(({ place, untilMs }) => ({ place, until: iso(untilMs) })),
    ...(calls ? { rate: rateOf(calls, nowMs) } : {}),
    healed: ledger.healed,
  };
}

function rateOf(
  { rate, bucket }: { readonly rate: CallRate; readonly bucket: TokenBucket },
  nowMs: number,
): NonNullable<QuotaStatus['rate']> {
  const { pausedUntilMs = 0 } = bucket;
  return {
    ...rate,
    callsLeft: takeCalls(rate, bucket, rate.burst, nowMs).granted,
    ...(pausedUntilMs > nowMs ? { pausedUntil: iso(pausedUntilMs) } : {}),
  };
}

/** One line of `slipway quota list`. */
export interface QuotaListing extends Pick<QuotaStatus, 'account' | 'quota' | 'inUse' | 'owners' | 'rate'> {
  /** Of the account, by name. */
  readonly providers: readonly string[];
  readonly waiting: number;
  readonly coolDowns: number;
}
