import type { PhaseTime } from './lease.ts';
import type { MachineInput, MachineLife } from './machine.ts';

/** The timeline with the present phase open at its end. */
export const timeline = (life: MachineLife): readonly PhaseTime[] => [
  ...life.phases,
  { phase: life.phase, at: new Date(life.sinceMs).toISOString() },
];

/** When the present phase must be over, by its own limit and by the bound of the whole way to ready. */
export function phaseDeadlineMs(input: MachineInput, life: MachineLife): number | undefined {
  const limits = input.plan.limits;
  const readyByMs = (life.provingSinceMs ?? life.bornMs) + limits.readyWithinMs;
  const within = (limitMs: number): number => Math.min(life.sinceMs + limitMs, readyByMs);
  switch (life.phase) {
    case 'provisioning':
      return within(limits.provisionWithinMs);
    case 'loading':
      return within(limits.loadWithinMs);
    case 'waiting':
      return within(limits.accessWithinMs);
    case 'customizing':
      return within(limits.customizeWithinMs);
    case 'readying':
      return readyByMs;
    case 'ready':
      return life.leaseUntilMs;
    case 'held':
      return life.heldUntilMs;
    case 'renewing':
      // As long as a new one may take: beyond that, a new one is better.
      return life.sinceMs + limits.readyWithinMs;
    case 'queued':
    case 'warm':
    case 'reclaiming':
    case 'stuck':
    case 'forgotten':
    case 'gone':
      return undefined;
  }
}
