import type { Reason } from './failure.ts';
import type { CheckIn } from './guest-post.ts';
import type { Access } from './lease.ts';
import type { MachineCause, MachineInput, MachineLife } from './machine.ts';
import { enter, leave } from './machine-phases.ts';
import { decideReuse, type FoundMachine, type ReturnedMachine, type ReuseDecision } from './reuse.ts';

export type RenewalEvent =
  /** It was looked at: now it can be decided. */
  | { readonly type: 'judged'; readonly found: FoundMachine }
  | {
      readonly type: 'renewed';
      readonly access: Access;
      readonly facts: Readonly<Record<string, string>>;
      /** It could be given no other keys than it had. */
      readonly keptKeys?: boolean;
      /** What a reset could not take away. */
      readonly left: readonly string[];
    };

/** A machine that serves one lease after the other keeps the times of its last ones. */
const keptPhases = 40;
/** Of what a reset could not take away. */
const shownLeft = 3;

/** Its lease is over. Nothing is done yet: what speaks against a next one without a look is decided at once. */
export function givenBack(
  input: MachineInput,
  life: MachineLife,
  cause: MachineCause,
  said: string | undefined,
  nowMs: number,
): MachineLife {
  if (life.phase === 'renewing') return life;
  if (!input.pool || !life.lease) return leave(life, nowMs, { cause });
  const taint = life.taint ?? said ?? taintOf(life, cause);
  const { decision: _, ...back } = { ...life, ...(taint === undefined ? {} : { taint }) };
  const decision = decideReuse(returned(input, back));
  return decision.do === 'look'
    ? enter(back, 'renewing', nowMs, { cause })
    : leave(back, nowMs, { cause, ...decided(decision, nowMs) });
}

/** What an end of a lease itself says against a next one: nobody has told what the last one did. */
function taintOf({ phase, lease }: MachineLife, cause: MachineCause): string | undefined {
  if (phase === 'held') return `what lease ${lease?.leaseId} brings could not be installed`;
  if (phase !== 'ready' || cause === 'released') return undefined;
  return `lease ${lease?.leaseId} ended without giving it back`;
}

const returned = (input: MachineInput, life: MachineLife): ReturnedMachine => ({
  policy: input.plan.reclaim ?? 'destroy',
  ...(input.pool ? { pool: input.pool.name } : {}),
  ...(life.retiring === undefined ? {} : { unwanted: life.retiring }),
  ...(life.taint === undefined ? {} : { taint: life.taint }),
  baseline: life.baseline !== undefined,
});

const decided = ({ do: what, why }: ReuseDecision, atMs: number): Pick<MachineLife, 'decision'> =>
  what === 'look' ? {} : { decision: { do: what, why, atMs } };

export function renewal(input: MachineInput, life: MachineLife, event: RenewalEvent, nowMs: number): MachineLife {
  if (event.type === 'judged') {
    if (life.decision) return life;
    const decision = decideReuse({ ...returned(input, life), found: event.found });
    const known = { ...life, ...decided(decision, nowMs) };
    return decision.do === 'destroy' ? leave(known, nowMs, { cause: 'tainted' }) : known;
  }
  if (!life.decision) return life;
  // Switched in the middle of it.
  if (life.taint !== undefined) return leave(life, nowMs, { cause: 'tainted' });
  const { left } = event;
  if (left.length > 0) {
    const more = left.length > shownLeft ? ` and ${left.length - shownLeft} more` : '';
    const message = `a reset left something of its last lease: ${left.slice(0, shownLeft).join(', ')}${more}`;
    return renewalFailed(life, { type: 'CustomizeFailed', message }, nowMs);
  }
  return renewed(input, life, event, nowMs);
}

/** The next generation of the same machine, to be proven again from the first login on. */
function renewed(
  input: MachineInput,
  life: MachineLife,
  { access, facts, keptKeys }: Extract<RenewalEvent, { type: 'renewed' }>,
  nowMs: number,
): MachineLife {
  const {
    lease: _l,
    cause: _c,
    marked: _m,
    checkIn,
    leaseUntilMs: _u,
    heldUntilMs: _h,
    baseline,
    keys,
    unrotated,
    ...rest
  } = life;
  const reset = rest.decision?.do === 'reset';
  const next = enter(rest, 'waiting', nowMs, { generation: life.generation + 1, provingSinceMs: nowMs, access });
  return {
    ...next,
    phases: next.phases.slice(-keptPhases),
    facts: { ...life.facts, ...facts },
    // A reset leaves what the bundle's steps have done; a reload takes it away, and what was remembered too.
    nextStep: reset ? input.plan.steps.length : 0,
    ...(reset && baseline !== undefined ? { baseline } : {}),
    ...(reset && checkIn?.result !== undefined ? { checkIn: resultOf(checkIn) } : {}),
    ...(keptKeys ? { keys: keys ?? life.generation } : {}),
    ...(keptKeys && unrotated !== undefined ? { unrotated } : {}),
  };
}

/** A reset boots nothing, so the first word on how that ended stands; what else its last tenant may have told does not. */
function resultOf({ movedTo: _movedTo, ...checkIn }: CheckIn): CheckIn {
  return { ...checkIn, posts: 0, facts: {}, hostKeys: [] };
}

/** What was done half is never used again. */
export const renewalFailed = (life: MachineLife, reason: Reason, nowMs: number): MachineLife =>
  leave({ ...life, taint: life.taint ?? reason.message }, nowMs, { cause: 'tainted', reason });
