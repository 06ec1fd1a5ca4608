import { isPlaceFailure, type Reason } from './failure.ts';
import { estimator } from './pool-estimate.ts';
import { inOrder } from './pool-order.ts';
import { ceilingOf, digestIn, isIdle, type Claim, type ClaimAnswer, type PoolLife } from './pool.ts';

/** So many tries in a row without a machine, and nobody waits for another one any more. */
const hopelessTries = 3;

/**
 * Why nobody gets a machine of this pool: the bundle itself fails. A lease that made its own would fail alike, so it is
 * told at once. A place that has nothing now is another matter: for that one waits.
 */
function isHopeless({ name, failing, machines }: PoolLife): Reason | undefined {
  if (!failing || failing.tries < hopelessTries || isPlaceFailure(failing.reason.type)) return undefined;
  if (machines.some(({ phase }) => phase === 'warm' || phase === 'leased')) return undefined;
  const { type, message } = failing.reason;
  return { type, message: `Pool ${name} cannot make machines (${failing.tries} tries): ${message}` };
}

/** Why this pool has nothing for such a claim, so that the lease makes its own machine. */
function unservable(life: PoolLife, claim: Claim): Extract<ClaimAnswer, { state: 'none' }> | undefined {
  const none = (why: string) => ({ state: 'none', why }) as const;
  if (life.mode !== 'open') return none(`pool ${life.name} is ${life.mode}: ${life.why ?? 'no reason given'}`);
  if (ceilingOf(life) === 0) return none(`pool ${life.name} may have no machine`);
  const { plan } = life.declared;
  if (plan && digestIn(plan) === claim.digest) return undefined;
  if (life.machines.some((machine) => isIdle(machine) && machine.digest === claim.digest)) return undefined;
  return none(`pool ${life.name} has another version of the bundle`);
}

/** Nobody will ever come for this claim. */
export function inVain(
  life: PoolLife,
  claim: Claim,
): Exclude<ClaimAnswer, { state: 'granted' | 'queued' }> | undefined {
  const none = unservable(life, claim);
  if (none) return none;
  const reason = isHopeless(life);
  return reason && { state: 'failed', reason };
}

/** How the claim stands, after it was applied. */
export function answerTo(life: PoolLife, claim: Claim, nowMs: number): ClaimAnswer {
  const is = (each: { readonly leaseId: string; readonly attempt: number } | undefined): boolean =>
    each?.leaseId === claim.leaseId && each.attempt === claim.attempt;
  const machine = life.machines.find((each) => is(each.claim) && !each.claim?.withdrawn);
  if (machine) {
    const { machineId, provider, warm } = machine;
    // By it a lease uses the machine before that has spoken: then it must be held in any case, also when the lease ends.
    const isSafe = machine.claim?.stage !== 'telling';
    return { state: 'granted', machineId, provider, ...(warm && isSafe && !claim.own ? { warm } : {}) };
  }
  const place = inOrder(life).findIndex(is) + 1;
  if (place > 0) {
    const estimate = estimator(life, nowMs)(place);
    return { state: 'queued', place, ...(estimate === undefined ? {} : { estimateMs: estimate }) };
  }
  return inVain(life, claim) ?? { state: 'none', why: `the claim of lease ${claim.leaseId} is over` };
}
