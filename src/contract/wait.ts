import { isOver, leaseEndStates } from '../domain/lease.ts';
import type { Attempt, LeaseEndState, LeaseState } from '../domain/lease.ts';

export const waitKinds = ['ready', 'ended', 'gone'] as const;
/**
 * `ready`: no longer acquiring. `ended`: in an end state. `gone`: and its machines are seen gone, or stuck, or were given up,
 * or are warm again in their pool.
 */
export type WaitKind = (typeof waitKinds)[number];

/** The longest that one call waits; a patient caller asks again. */
export const longestWaitMs = 60_000;

export const isLeaseEnd = (state: LeaseState): state is LeaseEndState =>
  (leaseEndStates as readonly LeaseState[]).includes(state);

/** Whether a lease has come as far as one waits for. */
export function hasReached(
  { state, attempts }: { readonly state: LeaseState; readonly attempts: readonly Pick<Attempt, 'phase'>[] },
  kind: WaitKind,
): boolean {
  switch (kind) {
    case 'ready':
      return state !== 'acquiring';
    case 'ended':
      return isLeaseEnd(state);
    case 'gone':
      return isLeaseEnd(state) && attempts.every(({ phase }) => phase === 'stuck' || phase === 'warm' || isOver(phase));
  }
}
