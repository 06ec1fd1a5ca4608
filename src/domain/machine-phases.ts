import type { MachinePhase, PhaseTime } from './lease.ts';
import type { Debt, MachineLife } from './machine.ts';

export function notWaiting(life: MachineLife): MachineLife {
  const { waiting: _waiting, ...rest } = life;
  return rest;
}

/** Goes to pay its debts, or is gone when there are none. */
export function leave(life: MachineLife, nowMs: number, why: Partial<MachineLife>): MachineLife {
  return enter(notWaiting(life), life.debts.length > 0 ? 'reclaiming' : 'gone', nowMs, why);
}

export function enter(
  life: MachineLife,
  phase: MachinePhase,
  nowMs: number,
  rest: Partial<MachineLife> = {},
): MachineLife {
  if (phase === life.phase) return { ...life, ...rest };
  return { ...life, ...rest, phase, sinceMs: nowMs, phases: [...life.phases, closed(life, nowMs)] };
}

const closed = (life: MachineLife, nowMs: number): PhaseTime => ({
  phase: life.phase,
  at: new Date(life.sinceMs).toISOString(),
  durationMs: nowMs - life.sinceMs,
});

export function withDebt(life: MachineLife, key: string, change: Partial<Debt>): MachineLife {
  return { ...life, debts: life.debts.map((debt) => (debt.key === key ? { ...debt, ...change } : debt)) };
}
