import type { Reason } from './failure.ts';
import { estimator, typical } from './pool-estimate.ts';
import { inOrder } from './pool-order.ts';
import { ceilingOf, nextPeriodChangeMs, targetOf, type PoolLife, type PoolMachine, type Waiting } from './pool.ts';

export const poolStates = ['open', 'failing', 'draining', 'drained', 'retracted'] as const;
export type PoolState = (typeof poolStates)[number];

export interface PoolMachineView {
  readonly machineId: string;
  readonly provider: string;
  readonly phase: PoolMachine['phase'];
  readonly since: string;
  readonly uses: number;
  readonly leaseId?: string;
  readonly owner?: string;
  readonly retiring?: string;
}

export interface PoolWaitingView {
  readonly leaseId: string;
  readonly owner: string;
  readonly priority: number;
  /** From 1. */
  readonly place: number;
  readonly since: string;
  /** Absent while nothing was measured that it could be told from. */
  readonly estimateMs?: number;
}

/** The answer of the query `status` of a pool, and of `GET /v1/pools/{name}`. */
export interface PoolStatus {
  readonly name: string;
  readonly bundle: string;
  readonly state: PoolState;
  /** Why it fails, or why its bundle cannot be used as it stands. */
  readonly reason?: Reason;
  /** Why it is drained or retracted. */
  readonly why?: string;
  /** When the next try is due, of a pool that fails. */
  readonly retryAt?: string;
  /** Now, by the schedule and by hand. */
  readonly target: number;
  readonly ceiling: number;
  /** What of it was set by hand. */
  readonly set: { readonly target?: number; readonly ceiling?: number };
  readonly idleMs?: number;
  readonly maxUses?: number;
  /** When the schedule changes the target next, as far as it is known. */
  readonly nextChange?: string;
  readonly machines: readonly PoolMachineView[];
  /** In the order in which they are served. */
  readonly waiting: readonly PoolWaitingView[];
  /** Durations, the middle of the last twenty. */
  readonly typical: { readonly makeMs?: number; readonly useMs?: number; readonly leaveMs?: number };
  /** Messages that were refused at the door, newest last, at most five. */
  readonly refused?: readonly string[];
}

/** The word for people and for the search attribute. */
export function poolStateOf({ mode, machines, failing, declared }: PoolLife): PoolState {
  switch (mode) {
    case 'drained':
      return machines.length > 0 ? 'draining' : 'drained';
    case 'retracted':
      return 'retracted';
    case 'open':
      return failing || declared.reason ? 'failing' : 'open';
  }
}

const iso = (ms: number): string => new Date(ms).toISOString();

export function poolStatusOf(life: PoolLife, nowMs: number): PoolStatus {
  const { settings } = life.declared;
  const reason = life.failing?.reason ?? life.declared.reason;
  const nextChange = nextPeriodChangeMs(life, nowMs);
  const { makeMs, useMs, leaveMs } = life.measured;
  const estimate = estimator(life, nowMs);
  return {
    name: life.name,
    bundle: settings.bundle,
    state: poolStateOf(life),
    ...(reason ? { reason } : {}),
    ...(life.why === undefined ? {} : { why: life.why }),
    ...(life.failing ? { retryAt: iso(life.failing.retryAtMs) } : {}),
    target: targetOf(life, nowMs),
    ceiling: ceilingOf(life),
    set: life.set,
    ...(settings.idleMs === undefined ? {} : { idleMs: settings.idleMs }),
    ...(settings.maxUses === undefined ? {} : { maxUses: settings.maxUses }),
    ...(nextChange === undefined ? {} : { nextChange: iso(nextChange) }),
    machines: life.machines.map(machineView),
    waiting: inOrder(life).map((waiting, n) => waitingView(waiting, n + 1, estimate(n + 1))),
    typical: {
      ...known('makeMs', typical(makeMs)),
      ...known('useMs', typical(useMs)),
      ...known('leaveMs', typical(leaveMs)),
    },
    ...(life.refused.length > 0 ? { refused: life.refused } : {}),
  };
}

const waitingView = (
  { leaseId, owner, priority, sinceMs }: Waiting,
  place: number,
  estimateMs: number | undefined,
): PoolWaitingView => ({
  leaseId,
  owner,
  priority,
  place,
  since: iso(sinceMs),
  ...known('estimateMs', estimateMs),
});

function machineView({ machineId, provider, phase, sinceMs, uses, claim, retiring }: PoolMachine): PoolMachineView {
  return {
    machineId,
    provider,
    phase,
    since: iso(sinceMs),
    uses,
    ...(claim ? { leaseId: claim.leaseId, owner: claim.owner } : {}),
    ...(retiring === undefined ? {} : { retiring }),
  };
}

const known = <K extends string>(key: K, ms: number | undefined): { readonly [key in K]?: number } =>
  (ms === undefined ? {} : { [key]: ms }) as { readonly [key in K]?: number };
