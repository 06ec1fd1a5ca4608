import { z } from 'zod';
import type { Reason } from '../domain/failure.ts';
import { poolStates } from '../domain/pool-status.ts';
import type { PoolMachineView, PoolState, PoolStatus, PoolWaitingView } from '../domain/pool-status.ts';
import { id } from './common.ts';
import { answer, count, instant, reason } from './reports.ts';

const machinePhases = ['making', 'warm', 'leased', 'leaving', 'stuck'] as const;
const ms = z.number().min(0);

const poolMachine = answer<PoolMachineView>({
  machineId: z.string(),
  provider: z.string(),
  phase: z.enum(machinePhases),
  since: instant,
  uses: count,
  leaseId: z.string().exactOptional(),
  owner: z.string().exactOptional(),
  retiring: z.string().exactOptional(),
});
const poolWaiting = answer<PoolWaitingView>({
  leaseId: z.string(),
  owner: z.string(),
  priority: z.int(),
  place: z.int().min(1),
  since: instant,
  estimateMs: ms.exactOptional(),
});

export const poolStatus = answer<PoolStatus>({
  name: z.string(),
  bundle: z.string(),
  state: z.enum(poolStates),
  reason: reason.exactOptional(),
  why: z.string().exactOptional(),
  retryAt: instant.exactOptional(),
  target: count,
  ceiling: count,
  set: z.looseObject({ target: count.exactOptional(), ceiling: count.exactOptional() }),
  idleMs: ms.exactOptional(),
  maxUses: count.exactOptional(),
  nextChange: instant.exactOptional(),
  machines: z.array(poolMachine),
  waiting: z.array(poolWaiting),
  typical: z.looseObject({
    makeMs: ms.exactOptional(),
    useMs: ms.exactOptional(),
    leaveMs: ms.exactOptional(),
  }),
  refused: z.array(z.string()).exactOptional(),
});

/** One line of `slipway pool list`. */
export interface PoolListing {
  readonly name: string;
  readonly bundle: string;
  readonly state: PoolState;
  readonly reason?: Reason;
  readonly target: number;
  readonly ceiling: number;
  readonly warm: number;
  readonly making: number;
  readonly leased: number;
  /** On their way out, stuck ones included. */
  readonly leaving: number;
  readonly waiting: number;
}
export const poolListing = answer<PoolListing>({
  name: z.string(),
  bundle: z.string(),
  state: z.enum(poolStates),
  reason: reason.exactOptional(),
  target: count,
  ceiling: count,
  warm: count,
  making: count,
  leased: count,
  leaving: count,
  waiting: count,
});

export const poolParams = z.strictObject({ name: id });
