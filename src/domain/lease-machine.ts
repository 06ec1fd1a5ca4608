import { isPlaceFailure, type FailureType, type Reason } from './failure.ts';
import type { Attempt } from './lease.ts';
import { attemptsSpent, noPlaceLeft } from './lease-attempts.ts';
import { grantedByReport } from './lease-claim-life.ts';
import { endLease, lostReason } from './lease-ending.ts';
import type { LeaseLife } from './lease-life.ts';
import { attemptsOf } from './lease-next.ts';
import { becameReady } from './lease-ready.ts';
import type { MachineReport } from './machine-report.ts';

/** Failures after which another machine of the same kind would fail alike. */
const finalFailures = new Set<FailureType>(['InvalidRequest', 'HostKeyMismatch', 'IdConflict']);

/** What the report of a machine means for its lease. */
export function machineReported(before: LeaseLife, report: MachineReport, nowMs: number): LeaseLife {
  const life = strayTold(grantedByReport(before, report), report);
  const machine = life.machine;
  const attempts = life.attempts.map((attempt) =>
    attempt.machineId === report.machineId ? attemptTold(attempt, report) : attempt,
  );
  // An earlier machine that was stuck is seen gone after all: told to people, decides nothing.
  if (machine?.machineId !== report.machineId || machine.phase === 'ended') return { ...life, attempts };
  const told: LeaseLife = {
    ...life,
    attempts,
    machine: {
      ...heardOf(machine),
      ...(report.access ? { access: report.access } : {}),
      ...(report.pool ? { facts: { ...report.pool, key: report.key } } : {}),
      ...(report.accepted ? { accepted: true } : {}),
      ...(report.leaseUntilMs === undefined ? {} : { untilMs: report.leaseUntilMs }),
    },
  };
  switch (report.state) {
    case 'ready':
      return told.readyMs === undefined ? becameReady(told, nowMs) : told;
    case 'held':
      return withMachine(told, 'held');
    case 'gone':
    case 'forgotten':
    case 'stuck':
      return machineOver(told, report.reason, nowMs);
    case 'renewing':
    case 'reclaiming':
      if (report.accepted || told.readyMs === undefined) return told;
      return lostMachine(told, report.reason ?? lostReason(report.machineId), nowMs);
    case 'queued':
    case 'provisioning':
    case 'loading':
    case 'waiting':
    case 'customizing':
    case 'readying':
    case 'warm':
      return told;
  }
}

function heardOf({ promised: _promised, ...machine }: NonNullable<LeaseLife['machine']>) {
  return machine;
}

/**
 * A machine stands ready for this lease, which has another: an earlier pool of the name granted one that came after all,
 * or the next pool was asked by who did not know yet.
 */
function strayTold(life: LeaseLife, { machineId, state, accepted, pool }: MachineReport): LeaseLife {
  const comes = (state === 'ready' || state === 'held') && !accepted && pool?.leaseId === life.request.leaseId;
  if (!comes || life.attempts.some((attempt) => attempt.machineId === machineId)) return life;
  return { ...life, strays: [...new Set([...(life.strays ?? []), machineId])] };
}

function attemptTold(before: Attempt, report: MachineReport): Attempt {
  const { waiting: _waiting, ...attempt } = before;
  return {
    ...attempt,
    phase: report.state,
    phases: report.phases,
    ...(report.reason ? { reason: report.reason } : {}),
    ...(report.failedStep ? { failedStep: report.failedStep } : {}),
    ...(report.evidence ? { evidence: report.evidence } : {}),
    ...(report.waiting ? { waiting: report.waiting } : {}),
  };
}

function lostMachine(life: LeaseLife, reason: Reason, nowMs: number): LeaseLife {
  return endLease(withMachine(life, 'lost'), 'failed', nowMs, reason);
}

/** Seen gone, or stuck on the way: the attempt is over. Before ready the next one follows, if there is one. */
function machineOver(life: LeaseLife, reason: Reason | undefined, nowMs: number): LeaseLife {
  const over = withMachine(life, 'ended');
  if (over.ending) return over;
  const machineId = life.machine?.machineId ?? '';
  if (over.readyMs !== undefined) return endLease(over, 'failed', nowMs, reason ?? lostReason(machineId));
  const why = reason ?? { type: 'GuestNeverReady', message: `Machine ${machineId} ended before it was ready.` };
  if (finalFailures.has(why.type) || attemptsSpent(over) >= attemptsOf(over) || noPlaceLeft(over))
    return endLease(over, 'failed', nowMs, why);
  const variants = Math.max(1, over.plan?.variants.length ?? 1);
  return isPlaceFailure(why.type) ? { ...over, variant: (over.variant + 1) % variants } : over;
}

/** The machine's workflow closed without the lease's release. */
export function machineClosed(life: LeaseLife, machineId: string, reason: Reason, nowMs: number): LeaseLife {
  if (life.machine?.machineId !== machineId || life.machine.phase === 'ended') return life;
  const attempts = life.attempts.map((attempt) =>
    attempt.machineId === machineId ? { ...attempt, reason: attempt.reason ?? reason } : attempt,
  );
  return machineOver({ ...life, attempts }, reason, nowMs);
}

function withMachine(life: LeaseLife, phase: NonNullable<LeaseLife['machine']>['phase']): LeaseLife {
  return life.machine ? { ...life, machine: { ...life.machine, phase } } : life;
}
