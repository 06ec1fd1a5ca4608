import { CancellationScope, getExternalWorkflowHandle, isCancellation } from '@temporalio/workflow';
import type { PoolAnswer, PoolClaim } from '../activities/activities.ts';
import { poolSignals } from '../contract/messages.ts';
import { machineWorkflowId, poolWorkflowId } from '../domain/ids.ts';
import { claimFor } from '../domain/lease-claim.ts';
import { attemptsSpent } from '../domain/lease-attempts.ts';
import { attemptsOf } from '../domain/lease-next.ts';
import { watchClosed } from './children.ts';
import { reasonOf } from './failures.ts';
import type { LeaseDesk } from './lease-desk.ts';
import { claims, claimsAtOnce, watch } from './proxies.ts';

async function askFor(claim: PoolClaim, atOnce = false): Promise<PoolAnswer> {
  if (atOnce) {
    try {
      return await claimsAtOnce.claimMachine(claim);
    } catch (error) {
      if (isCancellation(error)) throw error;
      // Busy, or slow: it is the same claim when it is asked again.
    }
  }
  return claims.claimMachine(claim);
}

/** What a lease has under way with its bundle's pool: its claim, and the looks at whom it waits for. */
export function openClaims(desk: LeaseDesk) {
  let asking: { readonly scope: CancellationScope; readonly over: Promise<void> } | undefined;
  /** At what we look now: the pool while queued, then the machine that it gave. */
  let looking: { readonly at: string; readonly scope: CancellationScope } | undefined;

  const answer = (attempt: number, answer: PoolAnswer): void =>
    desk.enqueue({ type: 'claimAnswered', attempt, answer });

  const ask = (attempt: number, last: boolean): void => {
    const claim = claimFor(desk.life, attempt, last);
    const pool = desk.life.plan?.pool?.name;
    desk.apply({ type: 'claimAsked', attempt });
    if (!claim || pool === undefined) return answer(attempt, { state: 'none', why: 'its bundle has no pool' });
    const scope = new CancellationScope({ cancellable: true });
    const over = scope
      .run(() => askFor({ pool, claim }, desk.life.plan?.pool?.atOnce))
      .then(
        (said) => answer(attempt, said),
        (error: unknown) => {
          if (isCancellation(error)) return;
          // The lease does not depend on its pool.
          const { message } = reasonOf(error, { type: 'Internal', message: `pool ${pool} did not answer.` });
          answer(attempt, { state: 'none', why: message });
        },
      )
      .finally(() => (asking = undefined));
    asking = { scope, over };
  };

  const lookAt = (at: string, look: () => CancellationScope): void => {
    if (looking?.at === at) return;
    looking?.scope.cancel();
    looking = { at, scope: look() };
  };
  const lookAway = (): void => {
    looking?.scope.cancel();
    looking = undefined;
  };

  /** Another pool of the name, or none, knows nothing of us: then we ask again. */
  const watchQueue = (): CancellationScope => {
    const scope = new CancellationScope({ cancellable: true });
    const { claim, plan } = desk.life;
    const body = claim && claimFor(desk.life, claim.attempt, attemptsSpent(desk.life) + 1 >= attemptsOf(desk.life));
    if (!claim || !body || !plan?.pool) return scope;
    const { name: pool } = plan.pool;
    void scope
      .run(() => watch.watchClaim({ pool, claim: body, birth: claim.birth ?? '' }))
      .then(
        (said) => answer(claim.attempt, said),
        (error: unknown) => {
          if (isCancellation(error)) return;
          const { message } = reasonOf(error, { type: 'Internal', message: `pool ${pool} could not be watched.` });
          answer(claim.attempt, { state: 'none', why: message });
        },
      );
    return scope;
  };

  return {
    ask,
    /** Looks at what the lease waits for, and away when it does not. */
    follow(): void {
      const { claim, machine, ending } = desk.life;
      if (machine?.pooled && machine.phase !== 'ended') {
        const { machineId } = machine;
        return lookAt(machineId, () =>
          watchClosed([machineWorkflowId(machineId)], ({ status }) =>
            desk.enqueue({
              type: 'machineClosed',
              machineId,
              reason: { type: 'GuestLost', message: `Machine ${machineId}: its workflow is ${status}.` },
            }),
          ),
        );
      }
      if (claim?.state === 'queued' && !ending) return lookAt(`${claim.attempt} ${claim.birth}`, watchQueue);
      lookAway();
    },
    /** Tells the pool that nobody waits any more, after the last word of the claim is known to have been said. */
    async withdraw(attempt: number): Promise<void> {
      asking?.scope.cancel();
      await asking?.over;
      desk.apply({ type: 'withdrawTold' });
      const { leaseId } = desk.request;
      const pool = desk.life.plan?.pool?.name ?? '';
      await getExternalWorkflowHandle(poolWorkflowId(pool))
        .signal(poolSignals.withdraw, { leaseId, attempt })
        .catch(() => undefined); // without its pool there is nothing to take back
    },
    /** Nothing is under way that the next run could not take up. */
    isQuiet: (): boolean => asking === undefined,
    stop: lookAway,
  };
}
