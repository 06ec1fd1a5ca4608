import { isPlaceFailure, type Reason } from './failure.ts';
import type { MachineReport } from './machine-report.ts';
import { measuredMore } from './pool-estimate.ts';
import type { PoolLife, PoolMachine } from './pool.ts';

/** After the first failure; doubled with each further one, so that a broken bundle makes a handful of machines an hour. */
const retryFirstMs = 5_000;
const retryMostMs = 1_800_000;
/** A machine that is lost so soon, before anybody had it, was not good in the first place. */
const earlyLossMs = 300_000;

/** A try has failed. What fails at one moment counts once: a pool that is filled makes many at a time. */
export function machineFailed(life: PoolLife, reason: Reason, nowMs: number): PoolLife {
  const { failing } = life;
  if (failing && nowMs < failing.retryAtMs) return { ...life, failing: { ...failing, reason } };
  const tries = (failing?.tries ?? 0) + 1;
  const variants = Math.max(1, life.declared.plan?.variants.length ?? 1);
  return {
    ...life,
    failing: { tries, reason, retryAtMs: nowMs + Math.min(retryMostMs, retryFirstMs * 2 ** (tries - 1)) },
    variant: isPlaceFailure(reason.type) ? (life.variant + 1) % variants : life.variant,
  };
}

export function machineReported(life: PoolLife, report: MachineReport, nowMs: number): PoolLife {
  const machine = life.machines.find(({ machineId }) => machineId === report.machineId);
  if (!machine) return life;
  const known = withMachine(life, machine.machineId, (each) => ({
    ...each,
    uses: report.pool?.uses ?? each.uses,
    ...warmOf(report),
  }));
  switch (report.state) {
    case 'warm':
      return becameWarm(known, machine, nowMs);
    case 'renewing':
      return renewing(known, machine, nowMs);
    case 'reclaiming':
    case 'stuck':
      return leaving(known, machine, report.state === 'stuck' ? 'stuck' : 'leaving', report, nowMs);
    case 'gone':
    case 'forgotten': {
      const left = leaving(known, machine, 'leaving', report, nowMs);
      const measured =
        machine.phase === 'leaving' ? measuredMore(left.measured, 'leaveMs', nowMs - machine.sinceMs) : left.measured;
      return { ...left, measured, machines: left.machines.filter(({ machineId }) => machineId !== machine.machineId) };
    }
    case 'queued':
    case 'provisioning':
    case 'loading':
    case 'waiting':
    case 'customizing':
    case 'readying':
    case 'ready':
    case 'held':
      return known;
  }
}

const warmOf = ({ state, key, access, pool }: MachineReport): Pick<PoolMachine, 'warm'> =>
  state === 'warm' && access && pool ? { warm: { key, access, facts: pool } } : {};

function becameWarm(life: PoolLife, before: PoolMachine, nowMs: number): PoolLife {
  if (before.phase !== 'making') return life;
  const { failing: _, ...proven } = life;
  const { measured } = life;
  // To be made ready again says nothing of how long a new one takes.
  const made = before.renewing ? measured : measuredMore(measured, 'makeMs', nowMs - before.sinceMs);
  return withMachine({ ...proven, measured: made }, before.machineId, ({ renewing: _renewing, ...machine }) => ({
    ...machine,
    phase: 'warm',
    sinceMs: nowMs,
  }));
}

/** Its lease is over, and it will serve another: as one that is being made. */
function renewing(life: PoolLife, before: PoolMachine, nowMs: number): PoolLife {
  if (before.phase !== 'leased') return life;
  const back = withMachine(life, before.machineId, (machine) => ({
    ...unclaimed(machine),
    phase: 'making',
    renewing: true,
    sinceMs: nowMs,
  }));
  const { claim } = before;
  if (!claim) return back;
  return {
    ...back,
    over: overWith(back, claim.leaseId, claim.attempt),
    measured: measuredMore(back.measured, 'useMs', nowMs - claim.grantedMs),
  };
}

/** It will serve nobody any more. Whom it was promised to and did not take is first in line again. */
function leaving(
  life: PoolLife,
  before: PoolMachine,
  phase: 'leaving' | 'stuck',
  report: MachineReport,
  nowMs: number,
): PoolLife {
  if (before.phase === 'leaving' || before.phase === 'stuck') {
    return withMachine(life, before.machineId, (machine) => ({ ...machine, phase }));
  }
  const { claim } = before;
  const reason = report.reason ?? { type: 'GuestLost', message: `Machine ${before.machineId} is ${report.state}.` };
  const cause = report.pool?.cause;
  const soon = before.phase === 'warm' && nowMs - before.sinceMs < earlyLossMs;
  // What a tenant has done to a machine says nothing of its bundle.
  const ownFault = cause !== 'retired' && cause !== 'tainted';
  const failed = (before.phase === 'making' && ownFault) || (soon && cause === 'lost');
  const judged = failed ? machineFailed(life, reason, nowMs) : life;
  const gone = withMachine(judged, before.machineId, (machine) => ({
    ...unclaimed(machine),
    phase,
    sinceMs: nowMs,
  }));
  if (!claim) return gone;
  if (report.pool?.leaseId !== claim.leaseId) return claim.withdrawn ? gone : waitingAgain(gone, claim);
  return {
    ...gone,
    over: overWith(gone, claim.leaseId, claim.attempt),
    measured: measuredMore(gone.measured, 'useMs', nowMs - claim.grantedMs),
  };
}

export function unclaimed(machine: PoolMachine): Omit<PoolMachine, 'claim'> {
  const { claim: _, ...rest } = machine;
  return rest;
}

/** Its workflow is closed: nobody can say more of it, and what it owes is the sweep's. */
export function machineOver(life: PoolLife, machineId: string, reason: Reason, nowMs: number): PoolLife {
  const machine = life.machines.find((each) => each.machineId === machineId);
  if (!machine) return life;
  const without = { ...life, machines: life.machines.filter((each) => each !== machine) };
  const judged = machine.phase === 'making' ? machineFailed(without, reason, nowMs) : without;
  const { claim } = machine;
  if (!claim || claim.withdrawn) return judged;
  // A lease that may have had it learns of its end by its own watch.
  if (claim.stage === 'held' || claim.stage === 'releasing')
    return { ...judged, over: overWith(judged, claim.leaseId, claim.attempt) };
  return waitingAgain(judged, claim);
}

function waitingAgain(life: PoolLife, claim: NonNullable<PoolMachine['claim']>): PoolLife {
  const { stage: _stage, grantedMs: _granted, withdrawn: _withdrawn, ...waiting } = claim;
  return { ...life, waiting: [...life.waiting, waiting] };
}

/** Claims that are over are remembered so far: an activity of a lease may bring one again, late. */
const overLimit = 1_000;

export function overWith(life: PoolLife, leaseId: string, attempt: number): PoolLife['over'] {
  const before = life.over.find((each) => each.leaseId === leaseId);
  if (before && before.attempt >= attempt) return life.over;
  return [...life.over.filter((each) => each !== before), { leaseId, attempt }].slice(-overLimit);
}

export const withMachine = (
  life: PoolLife,
  machineId: string,
  change: (machine: PoolMachine) => PoolMachine,
): PoolLife => ({
  ...life,
  machines: life.machines.map((machine) => (machine.machineId === machineId ? change(machine) : machine)),
});
