import type { Attempt } from './lease.ts';
import { isOutstanding, type ClaimEvent, type LeaseClaim } from './lease-claim.ts';
import { endLease } from './lease-ending.ts';
import type { LeaseLife } from './lease-life.ts';
import type { MachineReport } from './machine-report.ts';
import type { ClaimAnswer } from './pool.ts';

/** What the pool's word means for a lease. */
export function claimChanged(life: LeaseLife, event: ClaimEvent, nowMs: number): LeaseLife {
  switch (event.type) {
    case 'claimAsked':
      return { ...life, claim: { attempt: event.attempt, state: 'asked', sinceMs: nowMs } };
    case 'claimAnswered':
      return answered(life, event.attempt, event.answer, nowMs);
    case 'withdrawTold':
      return life.claim ? { ...life, claim: { ...life.claim, withdrawn: true } } : life;
  }
}

function answered(
  life: LeaseLife,
  attempt: number,
  answer: ClaimAnswer & { readonly birth?: string },
  nowMs: number,
): LeaseLife {
  const { claim } = life;
  // Too late: it has its machine, or wants none any more.
  if (claim?.attempt !== attempt || life.ending || !isOutstanding(life)) return life;
  switch (answer.state) {
    case 'granted':
      return granted(life, answer.machineId, answer.provider);
    case 'queued': {
      if (claim.state === 'granted') return life;
      const { state, place, estimateMs, birth } = answer;
      const queued: LeaseClaim = { attempt, state, place, sinceMs: claim.sinceMs };
      return {
        ...life,
        claim: {
          ...queued,
          ...(estimateMs === undefined ? {} : { estimateMs }),
          ...(birth === undefined ? {} : { birth }),
        },
      };
    }
    case 'none':
      // A machine that was granted and is lost with its pool is noticed by itself.
      return claim.state === 'granted' ? life : { ...life, claim: { ...claim, state: 'none', why: answer.why } };
    case 'failed':
      return endLease({ ...life, claim: { ...claim, state: 'none' } }, 'failed', nowMs, answer.reason);
  }
}

function granted(life: LeaseLife, machineId: string, provider: string): LeaseLife {
  const { claim, machine } = life;
  if (!claim || machine?.machineId === machineId) return life;
  const attempt: Attempt = { machineId, provider, phase: 'warm', phases: [] };
  // One that was granted before and never came was no attempt.
  const before = machine?.phase === 'asked' ? life.attempts.slice(0, -1) : life.attempts;
  return {
    ...life,
    claim: { ...claim, state: 'granted' },
    machine: { machineId, phase: 'asked', pooled: true },
    attempts: [...before, attempt],
  };
}

/** The machine may tell the lease that it is there before the pool's own answer has come. */
export function grantedByReport(life: LeaseLife, { machineId, pool }: MachineReport): LeaseLife {
  if (pool?.leaseId !== life.request.leaseId || life.ending || !isOutstanding(life)) return life;
  return granted(life, machineId, pool.provider);
}
