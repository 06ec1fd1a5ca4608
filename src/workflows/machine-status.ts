import type { MachineStatus } from '../domain/lease.ts';
import { quotaOf, stepsOf, type MachineInput, type MachineLife } from '../domain/machine.ts';
import { phaseDeadlineMs, timeline } from '../domain/machine-times.ts';

/** The answer of a machine's query `status`. */
export function statusOf(input: MachineInput, life: MachineLife): MachineStatus {
  const quota = quotaOf(input);
  const deadline = phaseDeadlineMs(input, life);
  const title = input.plan.steps[life.nextStep]?.title ?? 'files and keys of the lease';
  const step = { index: life.nextStep, of: stepsOf(input, life), title };
  return {
    machineId: input.machineId,
    leaseId: life.lease?.leaseId ?? input.leaseId,
    ...(input.pool ? { pool: poolOf(input.pool.name, life) } : {}),
    provider: input.provider,
    key: input.key,
    phase: life.phase,
    since: new Date(life.sinceMs).toISOString(),
    ...(deadline === undefined ? {} : { deadline: new Date(deadline).toISOString() }),
    generation: life.generation,
    bundle: { name: input.plan.bundle.name, digest: input.plan.bundle.digest },
    ...(life.checkIn ? { checkIn: checkInOf(life.checkIn) } : {}),
    ...(life.access ? { access: life.access } : {}),
    ...(life.unrotated === undefined ? {} : { unrotated: life.unrotated }),
    phases: timeline(life),
    debts: life.debts.map((debt) => ({ kind: debt.kind, key: debt.key, since: new Date(debt.sinceMs).toISOString() })),
    ...(life.taint === undefined ? {} : { taint: life.taint }),
    ...(life.decision ? { decision: decisionOf(life.decision) } : {}),
    ...(life.reason ? { reason: life.reason } : {}),
    ...(life.forgotten === undefined ? {} : { forgotten: life.forgotten }),
    ...(life.takenOut === undefined ? {} : { takenOut: life.takenOut }),
    ...(life.evidence?.length ? { evidence: life.evidence } : {}),
    ...powerOf(life),
    ...(life.phase === 'customizing' ? { step } : {}),
    ...(life.waiting ? { waiting: life.waiting } : {}),
    ...(input.owner === undefined ? {} : { owner: input.owner }),
    ...(quota ? { quota } : {}),
    facts: life.facts,
  };
}

const checkInOf = ({ atMs, ...checkIn }: NonNullable<MachineLife['checkIn']>) => ({
  at: new Date(atMs).toISOString(),
  ...checkIn,
});

const decisionOf = ({ atMs, ...decision }: NonNullable<MachineLife['decision']>) => ({
  ...decision,
  at: new Date(atMs).toISOString(),
});

function powerOf({ power, powering }: MachineLife): Pick<MachineStatus, 'power'> {
  const order = powering ?? power;
  if (!order) return {};
  const { atMs, ...rest } = order;
  return { power: { ...rest, at: new Date(atMs).toISOString(), ...(powering ? { underWay: true } : {}) } };
}

const poolOf = (name: string, { uses = 0, retiring }: MachineLife): NonNullable<MachineStatus['pool']> => ({
  name,
  uses,
  ...(retiring === undefined ? {} : { retiring }),
});
