import { decidesAgainst, guestRefused, heard } from './check-in.ts';
import type { Evidence } from './evidence.ts';
import type { Reason } from './failure.ts';
import type { GuestPost } from './guest-post.ts';
import { withHostKey, type HostKeyNews } from './host-key.ts';
import { isLeaving, type Access, type MachinePhase, type QuotaWait, type StepFailure } from './lease.ts';
import {
  leaseGraceMs,
  quotaOf,
  stepsOf,
  type Debt,
  type Hold,
  type MachineCause,
  type MachineInput,
  type MachineLife,
} from './machine.ts';
import { enter, leave, notWaiting, withDebt } from './machine-phases.ts';
import { powered, type PowerEvent } from './machine-power.ts';
import { givenBack, renewal, renewalFailed, type RenewalEvent } from './machine-renewal.ts';

/** Where a machine was found, after so long. */
export interface Located {
  readonly access: Access;
  readonly facts: Readonly<Record<string, string>>;
  readonly tookMs: number;
}

/** That its guest let us in, after so long. */
export interface Reached {
  readonly facts: Readonly<Record<string, string>>;
  readonly tookMs: number;
}

export type MachineEvent =
  | { readonly type: 'owed'; readonly debt: Debt }
  | { readonly type: 'queued'; readonly waiting: QuotaWait }
  | { readonly type: 'granted' }
  | { readonly type: 'refused'; readonly reason: Reason }
  | {
      readonly type: 'created';
      readonly key: string;
      readonly ref: Readonly<Record<string, string>>;
      /** What was seen of it at once, and how long each look took. */
      readonly located?: Located;
      readonly reached?: Reached;
    }
  | { readonly type: 'createFailed'; readonly key: string; readonly quietFromMs: number; readonly reason: Reason }
  | { readonly type: 'located'; readonly access: Access; readonly facts: Readonly<Record<string, string>> }
  | { readonly type: 'reached'; readonly facts: Readonly<Record<string, string>>; readonly hostKey?: HostKeyNews }
  | { readonly type: 'stepDone' }
  /** `baseline`: what the guest remembers of itself from now on. */
  | { readonly type: 'gatePassed'; readonly baseline?: string }
  /** Its pool has given it to a lease. */
  | { readonly type: 'hold'; readonly lease: Hold }
  | { readonly type: 'failed'; readonly reason: Reason; readonly failedStep?: StepFailure }
  | { readonly type: 'lost'; readonly reason: Reason }
  | { readonly type: 'marked'; readonly result: number; readonly message?: string }
  /** Its guest has called home. */
  | { readonly type: 'checkedIn'; readonly post: GuestPost }
  | { readonly type: 'extended'; readonly untilMs: number }
  /** `leaseId`: by which lease; a pool's machine may have another by now. `taint`: what that knows against a next one. */
  | { readonly type: 'released'; readonly leaseId?: string; readonly taint?: string }
  | { readonly type: 'leaseClosed' }
  /** Nobody shall have it any more, whoever has it now. */
  | { readonly type: 'cancelled' }
  | RenewalEvent
  | PowerEvent
  | { readonly type: 'witnessed'; readonly evidence: readonly Evidence[] }
  | { readonly type: 'retire'; readonly why: string }
  | { readonly type: 'expired' }
  /** `takenOut`: it stands where it was, and why nobody gets it again. */
  | { readonly type: 'paid'; readonly key: string; readonly takenOut?: string }
  | { readonly type: 'stuck'; readonly reason: Reason }
  | { readonly type: 'forget'; readonly reason: string }
  /** Work was cut short so that the run can continue as new. */
  | { readonly type: 'interrupted' };

export function bornMachine(input: MachineInput, nowMs: number): MachineLife {
  const life: MachineLife = {
    phase: quotaOf(input) && !input.reclaimOnly ? 'queued' : 'provisioning',
    sinceMs: nowMs,
    bornMs: nowMs,
    phases: [],
    generation: 1,
    debts: [],
    facts: {},
    nextStep: 0,
  };
  if (!input.reclaimOnly) return life;
  const { ref, account } = input.reclaimOnly;
  const since = { sinceMs: nowMs, quietFromMs: nowMs };
  const debts: readonly Debt[] = [
    ...(account === undefined ? [] : [{ kind: 'quota' as const, key: account, ...since }]),
    { kind: 'machine', key: input.key, ...since, ...(ref ? { ref } : {}) },
  ];
  return { ...life, phase: 'reclaiming', debts, cause: 'leaseClosed' };
}

/** Pure: what a machine becomes by an event. An event that means nothing in the present phase changes nothing. */
export function applyMachine(input: MachineInput, life: MachineLife, event: MachineEvent, nowMs: number): MachineLife {
  const to = (phase: MachinePhase, rest: Partial<MachineLife> = {}): MachineLife => enter(life, phase, nowMs, rest);
  const fail = (reason: Reason, failedStep?: StepFailure): MachineLife => {
    const why: Partial<MachineLife> = { cause: 'failed', reason, ...(failedStep ? { failedStep } : {}) };
    const { holdOnFailureMs } = life.lease ?? input;
    // Nobody is to look at what answers under a false key: it may be anybody's.
    return holdOnFailureMs !== undefined && life.access && reason.type !== 'HostKeyMismatch'
      ? to('held', { ...why, heldUntilMs: nowMs + holdOnFailureMs })
      : leave(life, nowMs, why);
  };
  const ready = (of: MachineLife): MachineLife =>
    enter(of, 'ready', nowMs, { leaseUntilMs: nowMs + (of.lease ?? input).ttlMs + leaseGraceMs(input.tuning) });
  /** Its lease is over, whoever ended it: the one place where a machine of a pool may stay. */
  const giveBack = (cause: MachineCause, taint?: string): MachineLife => givenBack(input, life, cause, taint, nowMs);
  switch (event.type) {
    case 'owed': {
      if (life.phase !== 'provisioning' && life.phase !== 'queued') return life;
      const { key, quietFromMs } = event.debt;
      // Tried again: the same machine, but its last create is under way from now on.
      return life.debts.some((debt) => debt.key === key)
        ? withDebt(life, key, { quietFromMs })
        : { ...life, debts: [...life.debts, event.debt] };
    }
    case 'queued':
      return life.phase === 'queued' ? { ...life, waiting: event.waiting } : life;
    case 'granted': {
      if (life.phase !== 'queued') return life;
      // The wait was not the machine's: its way to ready begins here.
      return enter(notWaiting(life), 'provisioning', nowMs, { provingSinceMs: nowMs });
    }
    case 'refused':
      return life.phase === 'queued' ? leave(life, nowMs, { cause: 'failed', reason: event.reason }) : life;
    case 'created': {
      // Also when leaving: a create that won the race against its own cancellation must be found at once.
      const known = withDebt(life, event.key, { ref: event.ref, quietFromMs: nowMs });
      return life.phase === 'provisioning' ? created(input, known, event, nowMs) : known;
    }
    case 'createFailed': {
      const known = withDebt(life, event.key, { quietFromMs: event.quietFromMs });
      if (life.phase !== 'provisioning') return known;
      if (waitsForCapacity(input, event.reason)) return enter(known, 'queued', nowMs);
      const cause = event.reason.type === 'Gone' ? 'leaseClosed' : 'failed';
      return leave(known, nowMs, { cause, reason: event.reason });
    }
    case 'located':
      return life.phase === 'loading'
        ? to('waiting', { access: event.access, facts: { ...life.facts, ...event.facts } })
        : life;
    case 'reached':
      return life.phase === 'waiting' ? reached(input, life, event, nowMs) : life;
    case 'stepDone': {
      if (life.phase !== 'customizing') return life;
      const next = { ...life, nextStep: life.nextStep + 1 };
      if (next.nextStep < stepsOf(input, life)) return next;
      // The gate is the bundle's: a pool's machine has passed it before anybody leased it.
      return life.lease ? ready(next) : enter(next, 'readying', nowMs);
    }
    case 'gatePassed':
      if (life.phase !== 'readying') return life;
      if (!input.pool) return ready(life);
      return to('warm', event.baseline === undefined ? {} : { baseline: event.baseline });
    case 'hold': {
      if (life.phase !== 'warm') return life;
      const { own } = event.lease;
      const leased = { ...life, lease: event.lease, uses: (life.uses ?? 0) + 1, provingSinceMs: nowMs };
      return own && own.from < own.of ? enter(leased, 'customizing', nowMs, { nextStep: own.from }) : ready(leased);
    }
    case 'failed':
      if (life.phase === 'renewing') return renewalFailed(life, event.reason, nowMs);
      return isLeaving(life.phase) || life.phase === 'held' ? life : fail(event.reason, event.failedStep);
    case 'lost':
      return isLeaving(life.phase) ? life : leave(life, nowMs, { cause: 'lost', reason: event.reason });
    case 'marked':
      return isLeaving(life.phase) || nobodyMarks.has(life.phase) || life.marked
        ? life
        : { ...life, marked: { result: event.result, ...(event.message ? { message: event.message } : {}) } };
    case 'checkedIn': {
      // Of another life or generation, or too late to mean anything.
      if (event.post.key !== input.key || event.post.generation !== life.generation || isLeaving(life.phase))
        return life;
      const told = { ...life, checkIn: heard(life.checkIn, event.post, nowMs) };
      const fails = onTheWay.has(life.phase) && decidesAgainst(input.plan, told.checkIn);
      return fails ? applyMachine(input, told, { type: 'failed', reason: guestRefused(told.checkIn) }, nowMs) : told;
    }
    case 'extended':
      return life.phase === 'ready'
        ? { ...life, leaseUntilMs: Math.max(event.untilMs + leaseGraceMs(input.tuning), nowMs) }
        : life;
    case 'released':
      if (input.pool && event.leaseId !== undefined && event.leaseId !== life.lease?.leaseId) return life;
      return isLeaving(life.phase) ? { ...life, cause: 'released' } : giveBack('released', event.taint);
    case 'leaseClosed':
      return isLeaving(life.phase) ? life : giveBack('leaseClosed');
    case 'cancelled':
      return isLeaving(life.phase) ? life : leave(life, nowMs, { cause: 'leaseClosed' });
    case 'judged':
    case 'renewed':
      return life.phase === 'renewing' ? renewal(input, life, event, nowMs) : life;
    case 'retire':
      if (isLeaving(life.phase)) return life;
      return life.lease && life.phase !== 'renewing'
        ? { ...life, retiring: event.why }
        : leave(life, nowMs, { cause: 'retired' });
    case 'expired':
      if (life.phase === 'held') return leave(life, nowMs, {});
      return life.phase === 'ready' ? giveBack('expired') : life;
    case 'paid': {
      // Also of one that was given up in the same moment: it is gone after all.
      if (!isLeaving(life.phase) || life.phase === 'gone') return life;
      const debts = life.debts.filter((debt) => debt.key !== event.key);
      const paid = { debts, ...(event.takenOut === undefined ? {} : { takenOut: event.takenOut }) };
      if (debts.length === 0) return to('gone', paid);
      // What is seen gone after all is not given up: the rest of its debts is paid.
      return life.phase === 'forgotten' ? to('reclaiming', paid) : { ...life, ...paid };
    }
    case 'stuck': {
      // Why it failed stays the first word: the lease decides by it.
      const reason = life.reason
        ? { type: life.reason.type, message: `${life.reason.message} ${event.reason.message}` }
        : event.reason;
      return life.phase === 'reclaiming' ? to('stuck', { reason }) : life;
    }
    case 'forget':
      return life.phase === 'stuck' ? to('forgotten', { forgotten: event.reason }) : life;
    case 'witnessed':
      return { ...life, evidence: event.evidence };
    case 'powering':
    case 'powered':
    case 'powerFailed':
      return powered(input, life, event);
    case 'interrupted':
      return life;
  }
}

/** Where a guest's own failure ends the way to ready at once. */
const onTheWay = new Set<MachinePhase>(['waiting', 'customizing', 'readying']);

/** A person's word counts on the way to ready only. */
const nobodyMarks = new Set<MachinePhase>(['ready', 'warm', 'renewing']);

/** The phases that passed while the create had the word are entered at the times at which they began. */
function created(
  input: MachineInput,
  life: MachineLife,
  { located, reached }: Extract<MachineEvent, { type: 'created' }>,
  nowMs: number,
): MachineLife {
  const reachedMs = Math.max(life.sinceMs, nowMs - (located && reached ? reached.tookMs : 0));
  const loading = enter(life, 'loading', Math.max(life.sinceMs, reachedMs - (located?.tookMs ?? 0)));
  if (!located) return loading;
  const waiting = applyMachine(input, loading, { type: 'located', ...located }, reachedMs);
  return reached ? applyMachine(input, waiting, { type: 'reached', ...reached }, nowMs) : waiting;
}

/** It is proven by the key that it is known by from now on. */
function reached(
  input: MachineInput,
  life: MachineLife,
  { facts, hostKey }: Extract<MachineEvent, { type: 'reached' }>,
  nowMs: number,
): MachineLife {
  const known = { ...(hostKey ? withHostKey(life, hostKey) : life), facts: { ...life.facts, ...facts } };
  return known.access?.nextHostKey === undefined ? enter(known, afterAccess(input, life), nowMs) : known;
}

function afterAccess(input: MachineInput, life: MachineLife): MachinePhase {
  return life.nextStep < input.plan.steps.length ? 'customizing' : 'readying';
}

/** A place without capacity is waited for, in the quota's queue, by who can go nowhere else. */
const waitsForCapacity = (input: MachineInput, { type }: Reason): boolean =>
  type === 'CapacityUnavailable' && input.patient === true && quotaOf(input) !== undefined;
