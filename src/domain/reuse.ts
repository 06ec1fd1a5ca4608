/** What a bundle wants to become of a pool's machine after each lease. */
export const reclaimPolicies = ['destroy', 'reload', 'reset'] as const;
export type ReclaimPolicy = (typeof reclaimPolicies)[number];

/** How a provider says that a machine stands. `pending`: known, not running yet. `unknown`: it cannot say now. `absent`: it says there is none. */
export const providerStates = ['pending', 'running', 'stopped', 'destroying', 'absent', 'unknown'] as const;
export type ProviderState = (typeof providerStates)[number];

/** What a look at a machine found, after its lease and before it may be used again. */
export interface FoundMachine {
  readonly state: ProviderState;
  /** The provider can make it anew from its image, in place. */
  readonly reload: boolean;
  /** `same`: it answers and has not booted since it was proven. `silent`: nothing answers. `stranger`: something else does. */
  readonly guest: 'same' | 'rebooted' | 'silent' | 'stranger';
}

/** A machine whose lease has ended. */
export interface ReturnedMachine {
  readonly policy: ReclaimPolicy;
  /** Name of the pool that it belongs to; only a pool takes machines back. */
  readonly pool?: string;
  /** Why its pool does not want it back: its bundle has changed, it was used often enough, the pool is drained. */
  readonly unwanted?: string;
  /** What somebody may have done to it that nothing undoes for sure. */
  readonly taint?: string;
  /** What it looked like before its first lease is known. */
  readonly baseline: boolean;
  /** Absent before the look. */
  readonly found?: FoundMachine;
}

/** What becomes of it, and why, for people. `look`: nothing speaks against it so far, and the machine itself must be seen. */
export interface ReuseDecision {
  readonly do: 'look' | ReclaimPolicy;
  readonly why: string;
}

/**
 * Pure: whether a machine is used again, and how. Total: whatever is not known to be good is destroyed. A machine that
 * cannot be reset now and can be reloaded is reloaded, never the other way round: a reset undoes less.
 */
export function decideReuse(machine: ReturnedMachine): ReuseDecision {
  const { policy, pool, unwanted, taint, found } = machine;
  if (pool === undefined) return destroy('a machine of no pool goes with its lease');
  if (policy === 'destroy') return destroy('its bundle says reclaim: destroy');
  if (taint !== undefined) return destroy(`tainted: ${taint}`);
  if (unwanted !== undefined) return destroy(`pool ${pool} does not want it back: ${unwanted}`);
  if (!found) return { do: 'look', why: `its bundle says reclaim: ${policy}` };
  switch (found.state) {
    case 'absent':
    case 'destroying':
    case 'unknown':
      return destroy(`it is ${found.state} at its provider`);
    case 'pending':
    case 'running':
    case 'stopped':
  }
  if (found.guest === 'rebooted') return destroy('tainted: the guest booted again while it was leased');
  if (found.guest === 'stranger') return destroy('tainted: something else than the guest answers at its address');
  if (policy === 'reload') {
    return found.reload
      ? { do: 'reload', why: 'its bundle says reclaim: reload' }
      : destroy('its bundle says reclaim: reload, and its provider cannot');
  }
  const obstacle = notResettable(machine, found);
  if (obstacle === undefined) return { do: 'reset', why: 'its bundle says reclaim: reset' };
  return found.reload
    ? { do: 'reload', why: `it cannot be reset, ${obstacle}, but reloaded` }
    : destroy(`it cannot be reset, ${obstacle}, nor can its provider reload it`);
}

const destroy = (why: string): ReuseDecision => ({ do: 'destroy', why });

function notResettable({ baseline }: ReturnedMachine, { state, guest }: FoundMachine): string | undefined {
  if (state !== 'running') return `being ${state}`;
  if (guest === 'silent') return 'since its guest does not answer';
  return baseline ? undefined : 'since nobody knows what it looked like before';
}
