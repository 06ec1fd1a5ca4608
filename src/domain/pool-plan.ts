import { poolMachineIdOf, leaseWorkflowId } from './ids.ts';
import type { Hold } from './machine.ts';
import {
  ceilingOf,
  digestIn,
  isIdle,
  nextPeriodChangeMs,
  targetOf,
  type Grant,
  type PoolLife,
  type PoolMachine,
  type ServedClaim,
} from './pool.ts';

/** What a pool does next. Each is marked as under way before it is done, and can then be done beside the others. */
export type PoolAction =
  | { readonly do: 'tell'; readonly machineId: string; readonly leaseId: string; readonly grant: Grant }
  | { readonly do: 'refuse'; readonly leaseId: string; readonly grant: Grant }
  | { readonly do: 'hold'; readonly machineId: string; readonly hold: Hold }
  | { readonly do: 'release'; readonly machineId: string; readonly leaseId: string }
  | { readonly do: 'retire'; readonly machineId: string; readonly why: string }
  | {
      readonly do: 'start';
      readonly machineId: string;
      readonly provider: string;
      readonly variant: number;
      readonly digest: string;
    }
  /** Asks what the schedule says from then on. */
  | { readonly do: 'schedule'; readonly fromMs: number };

/** The schedule is asked again so long before what is known of it ends. */
const scheduleAheadMs = 3_600_000;

/** Pure. All that is to be done now, in the order to do it. */
export function planPool(life: PoolLife, nowMs: number): readonly PoolAction[] {
  return [...toLeases(life), ...toRetire(life, nowMs), ...toStart(life, nowMs), ...toSchedule(life, nowMs)];
}

/** Nothing is left, and nothing will come. */
export const isOver = (life: PoolLife): boolean =>
  life.mode === 'retracted' && life.machines.length === 0 && life.refusals.length === 0;

function toLeases(life: PoolLife): readonly PoolAction[] {
  const served = life.machines.flatMap(({ machineId, provider, claim }): PoolAction[] => {
    if (!claim) return [];
    const { leaseId, attempt, stage } = claim;
    if (stage === 'toTell')
      return [{ do: 'tell', machineId, leaseId, grant: { attempt, state: 'granted', machineId, provider } }];
    if (stage === 'toHold') return [{ do: 'hold', machineId, hold: holdOf(claim) }];
    return stage === 'held' && claim.withdrawn ? [{ do: 'release', machineId, leaseId }] : [];
  });
  return [...served, ...life.refusals.map(({ leaseId, grant }): PoolAction => ({ do: 'refuse', leaseId, grant }))];
}

const holdOf = ({ leaseId, ttlMs, holdOnFailureMs, own }: ServedClaim): Hold => ({
  leaseId,
  holder: leaseWorkflowId(leaseId),
  ttlMs,
  ...(holdOnFailureMs === undefined ? {} : { holdOnFailureMs }),
  ...(own ? { own } : {}),
});

/** Machines that stand for what the pool wants: they are there, or will be, and nobody has them. */
function supplyOf(life: PoolLife, nowMs: number) {
  const { idleMs } = life.declared.settings;
  const usable = life.machines.filter((machine) => unusable(life, machine) === undefined && !machine.retiring);
  const isAged = ({ sinceMs }: PoolMachine): boolean => idleMs !== undefined && nowMs - sinceMs >= idleMs;
  const idle = usable.filter(isIdle).toSorted((a, b) => a.sinceMs - b.sinceMs);
  return {
    making: usable.filter(({ phase }) => phase === 'making').toSorted((a, b) => a.sinceMs - b.sinceMs),
    fresh: idle.filter((machine) => !isAged(machine)),
    aged: idle.filter(isAged),
    wanted: targetOf(life, nowMs) + life.waiting.length,
    room: ceilingOf(life) - life.machines.length,
  };
}

/** Why a machine is not to be used again, whoever has it now. */
function unusable(life: PoolLife, machine: PoolMachine): string | undefined {
  const { plan, settings } = life.declared;
  if (life.mode !== 'open') return `pool ${life.name} is ${life.mode}`;
  if (plan && machine.digest !== digestIn(plan)) return 'its bundle has changed';
  // The lease that has it now is counted as soon as it is promised.
  const uses = machine.uses + (machine.claim && machine.phase === 'leased' ? 1 : 0);
  if (settings.maxUses !== undefined && uses >= settings.maxUses) return `it has served ${uses} leases (maxUses)`;
  return undefined;
}

function toRetire(life: PoolLife, nowMs: number): readonly PoolAction[] {
  const { making, fresh, aged, wanted, room } = supplyOf(life, nowMs);
  const worn = life.machines.flatMap((machine) => {
    const why = unusable(life, machine);
    return why === undefined ? [] : [{ machine, why }];
  });
  // One that only grew old makes room when its successor stands, or when there is no room for one.
  const isGoing = ({ phase, retiring }: PoolMachine): boolean =>
    phase === 'leaving' || (phase === 'warm' && retiring !== undefined);
  const isFull = room <= 0 && making.length === 0 && !life.machines.some(isGoing);
  const relieved = fresh.length >= wanted ? aged : isFull ? aged.slice(0, 1) : [];
  const surplus = Math.max(0, fresh.length + making.length - wanted);
  // The youngest that is still being made first, then the longest idle.
  const tooMany = [...making.toReversed(), ...fresh].slice(0, surplus);
  const asWhy = (why: string) => (machine: PoolMachine) => ({ machine, why });
  return [...worn, ...relieved.map(asWhy('it stood idle for too long')), ...tooMany.map(asWhy('it is one too many'))]
    .filter(({ machine: { phase, retiring, claim } }) => {
      // Before it is held for its lease there is nobody who could take it back in order.
      const settled = claim === undefined || claim.stage === 'held';
      return settled && retiring === undefined && phase !== 'leaving' && phase !== 'stuck';
    })
    .map(({ machine: { machineId }, why }) => ({ do: 'retire', machineId, why }));
}

/** How many machines are to be made, and how many of them now. */
function toMake(life: PoolLife, nowMs: number): { readonly lacking: number; readonly now: number } {
  if (life.mode !== 'open' || !life.declared.plan?.variants[life.variant]) return { lacking: 0, now: 0 };
  const { making, fresh, wanted, room } = supplyOf(life, nowMs);
  const missing = wanted - fresh.length - making.length - refillsAtMs(life, nowMs).length;
  const lacking = Math.max(0, Math.min(room, missing));
  if (!life.failing) return { lacking, now: lacking };
  // After a failure one try at a time shows whether it is over.
  return { lacking, now: nowMs >= life.failing.retryAtMs && making.length === 0 ? Math.min(1, lacking) : 0 };
}

/** When successors are due of machines that were given away a moment ago; whoever waits does not wait for that. */
function refillsAtMs(
  { declared: { refillAfterMs = 0 }, machines, waiting }: PoolLife,
  nowMs: number,
): readonly number[] {
  if (waiting.length > 0) return [];
  const due = machines.flatMap(({ claim }) => (claim ? [claim.grantedMs + refillAfterMs] : []));
  return due.filter((ms) => ms > nowMs);
}

function toStart(life: PoolLife, nowMs: number): readonly PoolAction[] {
  const { plan } = life.declared;
  return Array.from({ length: toMake(life, nowMs).now }, (_, n) => ({
    do: 'start',
    machineId: poolMachineIdOf(life.name, life.nextMachine + n),
    provider: plan?.variants[life.variant] ?? '',
    variant: life.variant,
    digest: plan ? digestIn(plan) : '',
  }));
}

function toSchedule(life: PoolLife, nowMs: number): readonly PoolAction[] {
  if (life.mode !== 'open' || !life.declared.settings.schedule?.length) return [];
  const { periods } = life;
  return periods && nowMs < periods.knownUntilMs - scheduleAheadMs ? [] : [{ do: 'schedule', fromMs: nowMs }];
}

/** When a pool must act by itself, if nothing is heard before. */
export function nextWakeMs(life: PoolLife, nowMs: number): number | undefined {
  if (life.mode !== 'open') return undefined;
  const { idleMs, schedule } = life.declared.settings;
  const times = [
    life.failing && toMake(life, nowMs).lacking > 0 ? life.failing.retryAtMs : undefined,
    ...(idleMs === undefined ? [] : life.machines.filter(isIdle).map(({ sinceMs }) => sinceMs + idleMs)),
    nextPeriodChangeMs(life, nowMs),
    ...refillsAtMs(life, nowMs),
    schedule?.length && life.periods ? life.periods.knownUntilMs - scheduleAheadMs : undefined,
  ].flatMap((ms) => (ms !== undefined && ms > nowMs ? [ms] : []));
  return times.length > 0 ? Math.min(...times) : undefined;
}
