import { settle, type Ledger, type Reservation } from './quota.ts';
import type { QuotaCost } from './quota-use.ts';

/** A machine that a provider holds for us. */
export interface Seen extends QuotaCost {
  readonly key: string;
  readonly machineId: string;
  readonly leaseId: string;
  readonly owner: string;
}

/** What one look at a provider found. */
export interface Inventory {
  readonly provider: string;
  /** When the look began. */
  readonly atMs: number;
  readonly seen: readonly Seen[];
  /** Keys of the ledger, of this provider, whose machine's workflow is closed: nobody will give them back. */
  readonly closed: readonly string[];
}

/**
 * The ledger after a look at what there is. A machine that nobody reserved is counted. A reservation whose machine is not
 * there, with nobody to give it back, is dropped at the second look that says so; one that waits is dropped at once.
 */
export function heal(before: Ledger, inventory: Inventory, nowMs: number): Ledger {
  const { provider } = inventory;
  const seen = new Set(inventory.seen.map(({ key }) => key));
  const closed = new Set(inventory.closed);
  const known = new Set([...before.held, ...before.waiting].map(({ key }) => key));
  const kept = before.held.flatMap((each): readonly Reservation[] => {
    if (each.provider !== provider) return [each];
    const { missing, ...present } = each;
    // Granted after the look began: it could not have been seen.
    const lost = !seen.has(each.key) && each.sinceMs < inventory.atMs && (closed.has(each.key) || each.found === true);
    if (!lost) return [present];
    return missing ? [] : [{ ...present, missing: true }];
  });
  const found = inventory.seen
    .filter(({ key }) => !known.has(key) && !goneSince(before, key, inventory.atMs))
    .map((each, n) => reservationOf(each, provider, before.seq + n, nowMs));
  const waiting = before.waiting.filter((each) => each.provider !== provider || !closed.has(each.key));
  return settle(
    {
      ...before,
      held: [...kept, ...found],
      waiting,
      // Nobody is there to be told of what is dropped.
      news: before.news.filter(({ key, refused }) => refused ?? kept.some((each) => each.key === key)),
      seq: before.seq + found.length,
      healed:
        before.healed + found.length + (before.held.length - kept.length) + (before.waiting.length - waiting.length),
    },
    nowMs,
  );
}

/** Given back after the look had begun: what it saw is out of date. */
const goneSince = (ledger: Ledger, key: string, atMs: number): boolean =>
  ledger.released.some((each) => each.key === key && each.atMs >= atMs);

const reservationOf = (seen: Seen, provider: string, seq: number, nowMs: number): Reservation => ({
  ...seen,
  priority: 0,
  provider,
  place: provider,
  patient: false,
  seq,
  sinceMs: nowMs,
  found: true,
});
