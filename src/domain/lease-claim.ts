import type { LeaseQueue } from './lease.ts';
import type { LeaseLife } from './lease-life.ts';
import { unknownOwner } from './owner.ts';
import type { Claim, ClaimAnswer } from './pool.ts';

/** What a lease has asked of its bundle's pool; recorded before it is asked. */
export interface LeaseClaim {
  readonly attempt: number;
  /** `none`: the pool has nothing for it, and it makes its own machine. */
  readonly state: 'asked' | 'queued' | 'granted' | 'none';
  readonly sinceMs: number;
  /** When it was queued. */
  readonly place?: number;
  readonly estimateMs?: number;
  /** Of the pool in which it is queued. */
  readonly birth?: string;
  readonly why?: string;
  /** The pool was told that it is not wanted any more. */
  readonly withdrawn?: boolean;
}

export type ClaimEvent =
  | { readonly type: 'claimAsked'; readonly attempt: number }
  | {
      readonly type: 'claimAnswered';
      readonly attempt: number;
      readonly answer: ClaimAnswer & { readonly birth?: string };
    }
  | { readonly type: 'withdrawTold' };

/** The body of the claim for an attempt. */
export function claimFor({ request, plan, owner }: LeaseLife, attempt: number, last: boolean): Claim | undefined {
  if (!plan?.pool) return undefined;
  const { digest, steps } = plan.pool;
  const { holdOnFailureMs } = request;
  return {
    leaseId: request.leaseId,
    attempt,
    owner: owner ?? unknownOwner,
    priority: request.priority ?? 0,
    digest,
    ttlMs: request.ttlMs ?? plan.ttlMs,
    ...(last && holdOnFailureMs !== undefined ? { holdOnFailureMs } : {}),
    ...(plan.steps.length > steps ? { own: { digest: plan.bundle.digest, from: steps, of: plan.steps.length } } : {}),
  };
}

/** The pool may still have something for it that the lease has not heard of. */
export function isOutstanding({ claim, machine }: LeaseLife): boolean {
  if (!claim || claim.withdrawn) return false;
  if (claim.state === 'asked' || claim.state === 'queued') return true;
  return claim.state === 'granted' && (machine?.phase === 'asked' || machine?.promised === true);
}

/** What people see while it waits in the pool's queue. */
export function queueOf({ claim, plan }: LeaseLife): LeaseQueue | undefined {
  if (claim?.state !== 'queued' || !plan?.pool) return undefined;
  return {
    pool: plan.pool.name,
    since: new Date(claim.sinceMs).toISOString(),
    ...(claim.place === undefined ? {} : { place: claim.place }),
    ...(claim.estimateMs === undefined ? {} : { estimateMs: claim.estimateMs }),
  };
}
