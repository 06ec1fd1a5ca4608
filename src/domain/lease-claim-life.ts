import type { Attempt } from './lease.ts';
import { isOutstanding, type ClaimEvent, type LeaseClaim } from './lease-claim.ts';
import { endLease, lostReason } from './lease-ending.ts';
import type { LeaseLife } from './lease-life.ts';
import { becameReady } from './lease-ready.ts';
import type { MachineReport } from './machine-report.ts';
import type { ClaimAnswer } from './pool.ts';

type Granted = Extract<ClaimAnswer, { readonly state: 'granted' }>;

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
      if (life.machine?.promised && life.machine.machineId !== answer.machineId) return broken(life, nowMs);
      return promised(granted(life, answer.machineId, answer.provider), answer, nowMs);
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
  // One that is ready keeps what it has.
  if (!claim || machine?.machineId === machineId || life.readyMs !== undefined) return life;
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

/** What has been proven and needs nothing more is ready by its pool's word: its own comes a few tasks later. */
function promised(life: LeaseLife, { machineId, warm }: Granted, nowMs: number): LeaseLife {
  const { machine } = life;
  if (!warm || machine?.machineId !== machineId || machine.phase !== 'asked') return life;
  const { access, key, facts } = warm;
  const attempts = life.attempts.map((attempt) =>
    attempt.machineId === machineId ? { ...attempt, phase: 'ready' as const } : attempt,
  );
  return becameReady(
    { ...life, attempts, machine: { ...machine, access, facts: { ...facts, key }, promised: true } },
    nowMs,
  );
}

/** Its pool promises another: the first one had gone when it was to be held. */
const broken = (life: LeaseLife, nowMs: number): LeaseLife =>
  endLease(
    { ...life, ...(life.machine ? { machine: { ...life.machine, phase: 'lost' } } : {}) },
    'failed',
    nowMs,
    lostReason(life.machine?.machineId ?? ''),
  );

/** The machine may tell the lease that it is there before the pool's own answer has come. */
export function grantedByReport(life: LeaseLife, { machineId, pool }: MachineReport): LeaseLife {
  if (pool?.leaseId !== life.request.leaseId || life.ending || !isOutstanding(life)) return life;
  return granted(life, machineId, pool.provider);
}
