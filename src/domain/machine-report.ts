import type { Evidence } from './evidence.ts';
import type { Reason } from './failure.ts';
import type { Access, MachinePhase, PhaseTime, QuotaWait, StepFailure } from './lease.ts';
import type { MachineCause, MachineInput, MachineLife } from './machine.ts';
import { timeline } from './machine-times.ts';

/** What a machine tells its holders. */
export interface MachineReport {
  readonly machineId: string;
  readonly key: string;
  readonly state: MachinePhase;
  /** The holder's release is recorded: the machine will end without it. */
  readonly accepted?: boolean;
  readonly reason?: Reason;
  readonly failedStep?: StepFailure;
  readonly evidence?: readonly Evidence[];
  readonly access?: Access;
  readonly phases: readonly PhaseTime[];
  readonly leaseUntilMs?: number;
  /** While it waits for quota. */
  readonly waiting?: QuotaWait;
  /** Of a pool's machine: what a lease that did not start it needs to know of it. */
  readonly pool?: PoolMachineFacts;
}

export interface PoolMachineFacts {
  readonly provider: string;
  readonly birth: string;
  readonly generation: number;
  /** The generation whose keys its guest has, where that is an earlier one. */
  readonly keys?: number;
  readonly uses: number;
  /** The lease that has taken it. */
  readonly leaseId?: string;
  readonly cause?: MachineCause;
}

export interface Holder {
  readonly workflowId: string;
  readonly is: 'lease' | 'pool';
}

/** Who is told: the lease of a machine of its own; a pool's machine has its pool, and the lease that it is given to. */
export function holdersOf(input: MachineInput, life: MachineLife): readonly Holder[] {
  if (input.holder === undefined) return [];
  if (!input.pool) return [{ workflowId: input.holder, is: 'lease' }];
  const pool: Holder = { workflowId: input.holder, is: 'pool' };
  // Who waits for the machine hears of it first.
  return life.lease ? [{ workflowId: life.lease.holder, is: 'lease' }, pool] : [pool];
}

/** Equal keys: nothing new to tell. */
export const reportKey = (life: MachineLife): string => `${life.phase} ${life.cause ?? ''} ${life.leaseUntilMs ?? ''}`;

const queuedKey: MachinePhase = 'queued';

/** Of reports that have accepted the release. */
const acceptedKeys = ['reclaiming released', 'renewing released'] as const;
const hasAccepted = (told: string): boolean => acceptedKeys.some((key) => told.startsWith(key));

/** Each holder is told what it acts on; a telling costs it a task. */
export function worthTelling(holder: Holder, life: MachineLife, told: string): boolean {
  if (reportKey(life) === told) return false;
  switch (life.phase) {
    case 'ready':
    case 'held':
      return holder.is === 'lease';
    case 'warm':
      return holder.is === 'pool';
    case 'renewing':
      return true;
    case 'reclaiming':
      // A lease waits until the machine that failed it is seen gone; what follows its own release is no news to it.
      return holder.is === 'pool' || (life.cause !== 'failed' && !hasAccepted(told));
    case 'gone':
    case 'forgotten':
    case 'stuck':
      // Nobody waits for the end of a machine whose release was accepted; but it counts in its pool until it is gone.
      return holder.is === 'pool' || !hasAccepted(told);
    case 'queued':
      return life.waiting !== undefined;
    case 'provisioning':
      // Its lease says that it waits: no longer.
      return told.startsWith(queuedKey);
    case 'loading':
    case 'waiting':
    case 'customizing':
    case 'readying':
      return false;
  }
}

export function reportOf(input: MachineInput, life: MachineLife, holder: Holder): MachineReport {
  const heldMs = input.pool && holder.is === 'lease' ? life.provingSinceMs : undefined;
  return {
    machineId: input.machineId,
    key: input.key,
    state: life.phase,
    ...(life.cause === 'released' ? { accepted: true } : {}),
    ...(life.reason ? { reason: life.reason } : {}),
    ...(life.failedStep ? { failedStep: life.failedStep } : {}),
    ...(life.evidence?.length ? { evidence: life.evidence } : {}),
    ...(life.access ? { access: life.access } : {}),
    // What it went through before it was this lease's is no news to that.
    phases: timeline(life).filter(({ at }) => heldMs === undefined || Date.parse(at) >= heldMs),
    ...(life.leaseUntilMs === undefined ? {} : { leaseUntilMs: life.leaseUntilMs }),
    ...(life.waiting ? { waiting: life.waiting } : {}),
    ...(input.pool ? { pool: poolFacts(input, life) } : {}),
  };
}

const poolFacts = (input: MachineInput, life: MachineLife): PoolMachineFacts => ({
  provider: input.provider,
  birth: input.birth,
  generation: life.generation,
  ...(life.keys === undefined ? {} : { keys: life.keys }),
  uses: life.uses ?? 0,
  ...(life.lease ? { leaseId: life.lease.leaseId } : {}),
  ...(life.cause ? { cause: life.cause } : {}),
});
