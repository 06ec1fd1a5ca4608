import type { Plan } from './bundle.ts';
import type { Reason } from './failure.ts';
import type { Access, Attempt, LeaseEndState, LeaseRequest } from './lease.ts';
import type { ClaimEvent, LeaseClaim } from './lease-claim.ts';
import { claimChanged } from './lease-claim-life.ts';
import { collectStarted, type Collecting } from './lease-collect.ts';
import { endLease, overdue, taskOver, withTask } from './lease-ending.ts';
import { machineClosed, machineReported } from './lease-machine.ts';
import { acceptedTask, shown, usesSealed, type LeaseTask } from './lease-task.ts';
import type { MachineReport, PoolMachineFacts } from './machine-report.ts';
import type { TaskResult, TaskSpec } from './task.ts';
import type { CollectedFile } from './transfer.ts';

/** A lease takes this many tasks: all of them are carried, with their results, in one payload. */
export const taskLimit = 300;

export interface LeaseEnding {
  readonly state: LeaseEndState;
  readonly reason?: Reason;
  readonly sinceMs: number;
  /** By Temporal's own cancel: the workflow closes as Canceled. */
  readonly byTemporal?: boolean;
}

/** The state of a lease, carried over continue-as-new. Times are epoch ms of the workflow's clock. */
export interface LeaseLife {
  readonly request: LeaseRequest;
  /** Absent in lives from before there were owners. */
  readonly owner?: string;
  readonly plan?: Plan;
  readonly requestedMs: number;
  readonly acquireByMs?: number;
  readonly readyMs?: number;
  readonly expiresMs?: number;
  /** The job has ended and the machine is kept until then. */
  readonly heldUntilMs?: number;
  readonly endedMs?: number;
  readonly attempts: readonly Attempt[];
  readonly variant: number;
  /** Of a bundle with a pool. */
  readonly claim?: LeaseClaim;
  readonly machine?: {
    readonly machineId: string;
    /** It is its pool's, not a child of ours; known once it has reported. */
    readonly pooled?: boolean;
    readonly facts?: PoolMachineFacts & { readonly key: string };
    readonly phase: 'asked' | 'started' | 'ready' | 'held' | 'lost' | 'ended';
    readonly access?: Access;
    readonly releaseAsked?: boolean;
    readonly accepted?: boolean;
    /** Its pool gave it, warm as it was; it has not said yet that it is this lease's, and is told nothing until then. */
    readonly promised?: true;
    /** Until when the machine itself knows that it is leased (with its grace). */
    readonly untilMs?: number;
    /** Until when it was told last. */
    readonly toldMs?: number;
  };
  /** Machines that pools gave to it and that it does not want: it has another. They are to be given back. */
  readonly strays?: readonly string[];
  readonly tasks: readonly LeaseTask[];
  /** While the paths of `collect` are fetched. */
  readonly collecting?: Collecting;
  readonly collected?: readonly CollectedFile[];
  readonly ending?: LeaseEnding;
  /** The updates that extended it, newest last: update ids do not survive continue-as-new. */
  readonly extendedBy: readonly string[];
  readonly refused: readonly string[];
  /** A task used a secret that the caller sealed for this lease. */
  readonly sealed: boolean;
  /** Whom `notify` names is being told that it is ready. */
  readonly readyTold?: true;
}

export type LeaseEvent =
  | { readonly type: 'resolved'; readonly plan: Plan }
  | { readonly type: 'machineStarted'; readonly machineId: string; readonly provider: string }
  | ClaimEvent
  | { readonly type: 'machineReported'; readonly report: MachineReport }
  /** The machine's workflow closed without our release: nobody knows the guest any more. */
  | { readonly type: 'machineClosed'; readonly machineId: string; readonly reason: Reason }
  | { readonly type: 'taskAsked'; readonly taskId: string; readonly spec: TaskSpec }
  | { readonly type: 'taskStarted'; readonly taskId: string }
  | { readonly type: 'taskEnded'; readonly result: TaskResult }
  | { readonly type: 'taskClosed'; readonly taskId: string; readonly message: string }
  | { readonly type: 'taskTold'; readonly taskId: string; readonly what: 'cancel' | 'lost' }
  | { readonly type: 'collectStarted' }
  | { readonly type: 'collected'; readonly files: readonly CollectedFile[] }
  | { readonly type: 'releaseAsked' }
  | { readonly type: 'strayReleased'; readonly machineId: string }
  | { readonly type: 'extensionTold'; readonly untilMs: number }
  | { readonly type: 'extended'; readonly untilMs: number; readonly updateId?: string }
  | { readonly type: 'end'; readonly state: LeaseEndState; readonly reason?: Reason; readonly byTemporal?: boolean }
  | { readonly type: 'readyTold' }
  | { readonly type: 'deadline' }
  | { readonly type: 'ended' }
  | { readonly type: 'refused'; readonly text: string };

export function bornLease(request: LeaseRequest, nowMs: number, owner?: string): LeaseLife {
  return {
    request,
    ...(owner === undefined ? {} : { owner }),
    requestedMs: nowMs,
    ...(request.acquireWithinMs === undefined ? {} : { acquireByMs: nowMs + request.acquireWithinMs }),
    attempts: [],
    variant: 0,
    tasks: [],
    extendedBy: [],
    refused: [],
    sealed: request.job !== undefined && usesSealed(request.job),
  };
}

const isFinal = (life: LeaseLife): boolean => life.endedMs !== undefined;

/** The last change, of the workflow's own main loop. Pure; an event that means nothing now changes nothing. */
export function applyLease(life: LeaseLife, event: LeaseEvent, nowMs: number): LeaseLife {
  if (isFinal(life)) return life;
  switch (event.type) {
    case 'resolved':
      return { ...life, plan: event.plan };
    case 'machineStarted': {
      const attempt: Attempt = {
        machineId: event.machineId,
        provider: event.provider,
        phase: life.plan?.quotas?.[life.variant] ? 'queued' : 'provisioning',
        phases: [],
      };
      return {
        ...life,
        machine: { machineId: event.machineId, phase: 'started' },
        attempts: [...life.attempts, attempt],
      };
    }
    case 'claimAsked':
    case 'claimAnswered':
    case 'withdrawTold':
      return claimChanged(life, event, nowMs);
    case 'machineReported':
      return machineReported(life, event.report, nowMs);
    case 'machineClosed':
      return machineClosed(life, event.machineId, event.reason, nowMs);
    case 'taskAsked':
      return life.ending || life.tasks.some((task) => task.taskId === event.taskId)
        ? life
        : {
            ...life,
            tasks: [...life.tasks, acceptedTask(event.taskId, event.spec)],
            sealed: life.sealed || usesSealed(event.spec),
          };
    case 'taskStarted':
      return withTask(life, event.taskId, (task) =>
        task.phase === 'accepted' ? { ...task, spec: shown(task.spec), phase: 'started', startedAtMs: nowMs } : task,
      );
    case 'taskEnded':
      return taskOver(life, event.result.taskId, event.result, nowMs);
    case 'taskClosed':
      return taskOver(life, event.taskId, undefined, nowMs, event.message);
    case 'taskTold':
      return withTask(life, event.taskId, (task) => ({ ...task, asked: event.what }));
    case 'collectStarted':
      return collectStarted(life, nowMs);
    case 'collected': {
      const { collecting: _over, ...rest } = life;
      return { ...rest, collected: event.files };
    }
    case 'releaseAsked':
      return life.machine ? { ...life, machine: { ...life.machine, releaseAsked: true } } : life;
    case 'strayReleased':
      return { ...life, strays: (life.strays ?? []).filter((machineId) => machineId !== event.machineId) };
    case 'extensionTold':
      return life.machine ? { ...life, machine: { ...life.machine, toldMs: event.untilMs } } : life;
    case 'extended':
      if (life.ending || life.readyMs === undefined) return life;
      return {
        ...life,
        expiresMs: Math.max(life.expiresMs ?? 0, event.untilMs),
        extendedBy: event.updateId ? [...life.extendedBy, event.updateId].slice(-100) : life.extendedBy,
      };
    case 'end':
      return endLease(life, event.state, nowMs, event.reason, event.byTemporal);
    case 'readyTold':
      return { ...life, readyTold: true };
    case 'deadline':
      return overdue(life, nowMs);
    case 'ended':
      return { ...life, endedMs: nowMs };
    case 'refused':
      return { ...life, refused: [...life.refused, event.text].slice(-5) };
  }
}
