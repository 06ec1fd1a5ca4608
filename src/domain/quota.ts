import { coolDown, defaultCoolDownMs, isCooling, remembered, type CoolDown } from './cool-down.ts';
import type { Reason } from './failure.ts';
import { inOrder } from './quota-order.ts';
import { beyond, noUse, plus, totalOf, useOf, usesBy, type QuotaCost, type QuotaLimits } from './quota-use.ts';
import { coolingText, hopeless, whyWaiting } from './quota-words.ts';
import type { CallRate } from './token-bucket.ts';

/** What an operator grants one account of a provider, and each owner in it. */
export interface AccountQuota extends QuotaLimits {
  readonly perOwner?: QuotaLimits;
  /** Of a place that had no capacity, at first. */
  readonly coolDownMs?: number;
}

/** An account of one or more providers, with what the operator allows of it. */
export interface Account {
  readonly name: string;
  /** Names of its providers. */
  readonly providers: readonly string[];
  readonly quota?: AccountQuota;
  readonly rate?: CallRate;
}

/** One machine's wish, made under the key that the provider will know it by. */
export interface QuotaAsk extends QuotaCost {
  readonly key: string;
  readonly machineId: string;
  readonly leaseId: string;
  readonly owner: string;
  readonly priority: number;
  readonly provider: string;
  /** What a stockout is of: provider, zone, size. */
  readonly place: string;
  /** It has no other place to go to: while this one cools down it waits here. */
  readonly patient: boolean;
}

export interface Reservation extends QuotaAsk {
  /** Order of arrival. */
  readonly seq: number;
  /** Since when it waits, or has what it asked for. */
  readonly sinceMs: number;
  /** Nobody asked for it: it was found at the provider. */
  readonly found?: true;
  /** The last look at the provider did not see it, and its machine's workflow is closed. */
  readonly missing?: true;
}

export type QuotaAnswer =
  | { readonly state: 'granted' }
  /** `place` counts from 1. */
  | { readonly state: 'queued'; readonly place: number; readonly of: number; readonly why: string }
  | { readonly state: 'refused'; readonly reason: Reason };

/** What a machine that waited is still to be told. */
export interface QuotaNews {
  readonly machineId: string;
  readonly key: string;
  /** Absent: granted. */
  readonly refused?: Reason;
}

/** Who has what of an account, and who waits. JSON; carried over continue-as-new. */
export interface Ledger {
  readonly account: string;
  readonly quota: AccountQuota;
  readonly held: readonly Reservation[];
  readonly waiting: readonly Reservation[];
  readonly coolDowns: readonly CoolDown[];
  readonly news: readonly QuotaNews[];
  readonly seq: number;
  /** Keys given back, newest last: an ask of theirs that arrives late gets nothing any more. */
  readonly released: readonly { readonly key: string; readonly atMs: number }[];
  /** Reservations that the inventory has corrected so far. */
  readonly healed: number;
}

const releasedKept = 500;

export const emptyLedger = (account: string, quota: AccountQuota): Ledger => ({
  account,
  quota,
  held: [],
  waiting: [],
  coolDowns: [],
  news: [],
  seq: 0,
  released: [],
  healed: 0,
});

const without = <T extends { readonly key: string }>(all: readonly T[], key: string): readonly T[] =>
  all.some((each) => each.key === key) ? all.filter((each) => each.key !== key) : all;
export const coolingAt = (ledger: Ledger, place: string, nowMs: number): CoolDown | undefined =>
  ledger.coolDowns.find((each) => each.place === place && isCooling(each, nowMs));

/** When the next place that somebody waits for has cooled down. */
export function coolsDownAtMs(ledger: Ledger, nowMs: number): number | undefined {
  const ends = ledger.waiting.flatMap(({ place }) => coolingAt(ledger, place, nowMs)?.untilMs ?? []);
  return ends.length > 0 ? Math.min(...ends) : undefined;
}

/** Why this ask gets nothing, also later; undefined: it is worth waiting. */
function refusalOf(ledger: Ledger, ask: QuotaAsk, nowMs: number): Reason | undefined {
  if (ledger.released.some(({ key }) => key === ask.key)) {
    return { type: 'Gone', message: `Machine ${ask.machineId} has given its quota of ${ledger.account} back already.` };
  }
  const never = hopeless(ledger, ask);
  if (never) return { type: 'QuotaExceeded', message: never };
  const cooling = ask.patient ? undefined : coolingAt(ledger, ask.place, nowMs);
  return cooling && { type: 'CapacityUnavailable', message: coolingText(cooling) };
}

/** Where a reservation stands. */
function answerOf(ledger: Ledger, key: string, nowMs: number): QuotaAnswer {
  const queue = queueOf(ledger);
  const at = queue.findIndex((each) => each.key === key);
  const entry = queue[at];
  if (!entry) return { state: 'granted' };
  return { state: 'queued', place: at + 1, of: queue.length, why: whyWaiting(ledger, nowMs)(entry) };
}

/** Who waits, in the order in which they are served. */
export const queueOf = (ledger: Ledger): readonly Reservation[] =>
  inOrder(ledger.waiting, usesBy(ledger.held), ledger.quota);

/** The same key asked again is the same reservation, where it stands by now. */
export function reserve(
  given: Ledger,
  ask: QuotaAsk,
  nowMs: number,
): { readonly ledger: Ledger; readonly answer: QuotaAnswer } {
  // Time has passed since the last look: a place may have cooled down.
  const before = settle(given, nowMs);
  const known = [...before.held, ...before.waiting].some(({ key }) => key === ask.key);
  const reason = known ? undefined : refusalOf(before, ask, nowMs);
  if (reason) return { ledger: before, answer: { state: 'refused', reason } };
  const entry: Reservation = { ...ask, seq: before.seq, sinceMs: nowMs };
  const ledger = known
    ? before
    : settle({ ...before, seq: before.seq + 1, waiting: [...before.waiting, entry] }, nowMs);
  // Answered here: it need not be told by a message of its own.
  const told = { ...ledger, news: without(ledger.news, ask.key) };
  return { ledger: told, answer: answerOf(told, ask.key, nowMs) };
}

/** Gives back, or stops waiting. What is not there stays away. */
export function release(before: Ledger, key: string, nowMs: number): Ledger {
  const released = [...without(before.released, key), { key, atMs: nowMs }].slice(-releasedKept);
  return settle(
    {
      ...before,
      held: without(before.held, key),
      waiting: without(before.waiting, key),
      news: without(before.news, key),
      released,
    },
    nowMs,
  );
}

/** The place of this machine had no capacity. A patient one waits on, in the order of its first ask. */
export function stockedOut(
  before: Ledger,
  stockout: { readonly key: string; readonly place: string; readonly jitter: number; readonly retryAfterMs?: number },
  nowMs: number,
): Ledger {
  const { key, ...of } = stockout;
  const firstMs = before.quota.coolDownMs ?? defaultCoolDownMs;
  const coolDowns = coolDown(before.coolDowns, { ...of, firstMs }, nowMs);
  const asker = before.held.find((each) => each.key === key);
  const waiting = asker?.patient ? [...before.waiting, { ...asker, sinceMs: nowMs }] : before.waiting;
  const news = without(before.news, key);
  return refuseHopeless({ ...before, coolDowns, held: without(before.held, key), waiting, news }, nowMs);
}

/** The operator changed the quota: nobody loses what he has. */
export const reconfigure = (before: Ledger, quota: AccountQuota, nowMs: number): Ledger =>
  refuseHopeless({ ...before, quota }, nowMs);

function refuseHopeless(before: Ledger, nowMs: number): Ledger {
  const news = before.waiting.flatMap((each): QuotaNews[] => {
    const refused = refusalOf(before, each, nowMs);
    return refused ? [{ machineId: each.machineId, key: each.key, refused }] : [];
  });
  if (news.length === 0) return settle(before, nowMs);
  const gone = new Set(news.map(({ key }) => key));
  return settle(
    { ...before, waiting: before.waiting.filter(({ key }) => !gone.has(key)), news: [...before.news, ...news] },
    nowMs,
  );
}

/** Grants in order all that there is room for, and no further: a large wish at the head is not overtaken for ever. */
export function settle(before: Ledger, nowMs: number): Ledger {
  const ledger = { ...before, coolDowns: remembered(before.coolDowns, nowMs) };
  const eligible = ledger.waiting.filter(({ place }) => !coolingAt(ledger, place, nowMs));
  if (eligible.length === 0) return ledger;
  const uses = usesBy(ledger.held);
  let total = totalOf(ledger.held);
  const blocked = new Set<string>();
  const granted = new Map<string, Reservation>();
  for (const next of inOrder(eligible, uses, ledger.quota)) {
    if (blocked.has(next.owner)) continue;
    const own = plus(uses.get(next.owner) ?? noUse, useOf(next));
    if (beyond(own, ledger.quota.perOwner)) {
      // By their own use: others go on, and they do not overtake themselves.
      blocked.add(next.owner);
      continue;
    }
    const all = plus(total, useOf(next));
    if (beyond(all, ledger.quota)) break;
    total = all;
    uses.set(next.owner, own);
    granted.set(next.key, { ...next, sinceMs: nowMs });
  }
  if (granted.size === 0) return ledger;
  return {
    ...ledger,
    held: [...ledger.held, ...granted.values()],
    waiting: ledger.waiting.filter(({ key }) => !granted.has(key)),
    news: [...ledger.news, ...[...granted.values()].map(({ machineId, key }) => ({ machineId, key }))],
  };
}
