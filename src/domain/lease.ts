import type { Evidence } from './evidence.ts';
import type { Reason } from './failure.ts';
import type { CheckInStatus } from './guest-post.ts';
import type { PinSource } from './host-key.ts';
import type { LeaseNotify, NotifyTarget } from './notify.ts';
import type { PowerAction } from './power.ts';
import type { ReclaimPolicy } from './reuse.ts';
import type { ParameterValues } from './parameters.ts';
import type { TaskResult, TaskSpec, TaskState } from './task.ts';
import type { CollectedFile } from './transfer.ts';

/** A file that the caller brings, installed before ready. */
export interface RequestFile {
  readonly blob?: string;
  readonly url?: string;
  readonly sha256?: string;
  readonly path: string;
  readonly mode?: string;
  readonly owner?: string;
  readonly group?: string;
  /** The bytes are a tar archive: its tree takes the path, over what is there. */
  readonly tree?: boolean;
}

/** The input of the workflow `lease`, as a caller writes it (≤ 64 KiB). */
export interface LeaseRequest {
  readonly leaseId: string;
  readonly bundle: string;
  /** Only the bundle's variants of this one are tried. */
  readonly provider?: string;
  /** Of the bundle; stands in histories, so never a secret. */
  readonly parameters?: ParameterValues;
  readonly files?: readonly RequestFile[];
  readonly job?: TaskSpec;
  /** Files and folders of the machine that are fetched when the job has ended, however it did; without a job, at the end. */
  readonly collect?: readonly string[];
  /** Bounds the lease until ready, queue and all attempts included. */
  readonly acquireWithinMs?: number;
  /** Counts from ready. */
  readonly ttlMs?: number;
  readonly attempts?: number;
  /** Keeps the machine this long after the job has ended. */
  readonly holdAfterJobMs?: number;
  /** Keeps the last attempt's machine this long when it failed. */
  readonly holdOnFailureMs?: number;
  /** OpenSSH public keys of the tenant. */
  readonly authorizedKeys?: readonly string[];
  /** Whom to tell when it is ready, and when it has ended. */
  readonly notify?: NotifyTarget;
  /** Where leases wait for a machine, higher comes first; -100 to 100, 0 when absent. */
  readonly priority?: number;
  /** Free for the caller, shown back. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export const leaseEndStates = ['released', 'failed', 'cancelled', 'expired'] as const;
export type LeaseEndState = (typeof leaseEndStates)[number];
export const leaseStates = ['acquiring', 'ready', 'working', 'held', 'releasing', ...leaseEndStates] as const;
export type LeaseState = (typeof leaseStates)[number];

export const machineStates = [
  'queued',
  'provisioning',
  'loading',
  'waiting',
  'customizing',
  'readying',
  'warm',
  'ready',
  'held',
  'renewing',
  'reclaiming',
  'stuck',
  'forgotten',
  'gone',
] as const;
export type MachinePhase = (typeof machineStates)[number];
/** The life of a machine ends: it was seen gone, or a person gave it up. */
export const isOver = (phase: MachinePhase): boolean => phase === 'gone' || phase === 'forgotten';

/** The machine is on its way out: only its debts matter. */
export const isLeaving = (phase: MachinePhase): boolean => phase === 'reclaiming' || phase === 'stuck' || isOver(phase);

/** Why a machine is not made yet: it waits for its part of the account. */
export interface QuotaWait {
  readonly account: string;
  /** From 1, of so many. */
  readonly place: number;
  readonly of: number;
  readonly why: string;
}

/** One entry of a timeline. `durationMs` is absent while the phase lasts. */
export interface PhaseTime {
  readonly phase: MachinePhase;
  readonly at: string;
  readonly durationMs?: number;
}

/** How to reach a machine, with its pinned key. */
export interface Access {
  readonly machineId: string;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  /** `ssh-ed25519 AAAA…`; empty until its guest has told it, where it makes its own. */
  readonly hostKey: string;
  /** `SHA256:…`; empty as the key. */
  readonly fingerprint: string;
  /** What vouches for the key. Absent in what was written before there were several. */
  readonly pin?: PinSource;
  /** While its guest changes to this one: both count. */
  readonly nextHostKey?: string;
}

/** A step that failed: which, how, and where its output lies. */
export interface StepFailure {
  readonly step: number;
  readonly of: number;
  readonly title: string;
  readonly exitCode: number | null;
  /** What a file's installation said. */
  readonly message?: string;
  /** Of the machine, where it is not the first one. */
  readonly generation?: number;
  /** Task key of its output in the output store. */
  readonly output?: string;
}

export interface Attempt {
  readonly machineId: string;
  readonly provider: string;
  /** The machine's last reported phase; `gone` when it was seen gone. */
  readonly phase: MachinePhase;
  readonly reason?: Reason;
  readonly failedStep?: StepFailure;
  /** What its machine had to say when it failed: `GET /v1/machines/{id}/evidence/{what}`, a step's where its output is. */
  readonly evidence?: readonly Evidence[];
  readonly phases: readonly PhaseTime[];
  /** While it waits for quota, as far as it was told. */
  readonly waiting?: QuotaWait;
}

/** ISO 8601 instants. */
export interface LeaseTimes {
  readonly requested: string;
  readonly ready?: string;
  readonly expires?: string;
  readonly releasing?: string;
  readonly ended?: string;
}

export interface TaskSummary {
  readonly taskId: string;
  readonly state: TaskState;
  readonly command: TaskSpec['command'];
  readonly startedAt?: string;
  readonly result?: TaskResult;
}

/** What a lease was resolved to. */
export interface LeasedBundle {
  readonly name: string;
  /** Of the recipe; absent until it is resolved. */
  readonly digest?: string;
  /** What to tell of it: its file has mistakes, and an older version is in force. */
  readonly notice?: string;
}

/** Where a lease stands that waits for a machine of its pool. */
export interface LeaseQueue {
  readonly pool: string;
  readonly since: string;
  /** From 1; when it was asked last. */
  readonly place?: number;
  /** How many wait. */
  readonly of?: number;
  /** Until it gets a machine, from measured times; absent while there are none. */
  readonly estimateMs?: number;
  /** Why the pool makes no machines, if it fails. */
  readonly reason?: Reason;
}

/** The answer of the query `status` of a lease, and of `GET /v1/leases/{id}`. */
export interface LeaseStatus {
  readonly leaseId: string;
  readonly state: LeaseState;
  readonly bundle: LeasedBundle;
  readonly owner?: string;
  readonly reason?: Reason;
  readonly attempts: readonly Attempt[];
  /** While it waits in the queue of its bundle's pool. */
  readonly queue?: LeaseQueue;
  readonly times: LeaseTimes;
  readonly access?: Access;
  readonly tasks: readonly TaskSummary[];
  /** What became of each path of `collect`, in its order; there once all are done. */
  readonly collected?: readonly CollectedFile[];
  readonly parameters?: ParameterValues;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly notify?: LeaseNotify;
  /** Messages that were refused at the door, newest last, at most five. */
  readonly refused?: readonly string[];
}

/** The result of the workflow `lease`; in `details[0]` of its failure when it failed. */
export interface LeaseResult {
  readonly leaseId: string;
  readonly state: LeaseEndState;
  readonly reason?: Reason;
  readonly bundle: LeasedBundle;
  readonly attempts: readonly Attempt[];
  readonly times: LeaseTimes;
  readonly job?: TaskResult;
  /** As in `LeaseStatus`. */
  readonly collected?: readonly CollectedFile[];
}

/** `machine`: a machine at the provider, by its key; `quota`: a part of an account, by the account's name. */
export const debtKinds = ['machine', 'quota'] as const;
export type DebtKind = (typeof debtKinds)[number];

/** The answer of the query `status` of a machine. */
export interface MachineStatus {
  readonly machineId: string;
  /** Empty while nobody leases it: a pool's machine. */
  readonly leaseId: string;
  /** What was done to it that nothing undoes for sure: nobody gets it any more. */
  readonly taint?: string;
  /** Of a pool's machine: what was decided after its last lease, and why. */
  readonly decision?: { readonly do: ReclaimPolicy; readonly why: string; readonly at: string };
  /** Of a pool's machine. */
  readonly pool?: { readonly name: string; readonly uses: number; readonly retiring?: string };
  readonly provider: string;
  readonly key: string;
  readonly phase: MachinePhase;
  readonly since: string;
  /** When the machine reclaims itself, or its present phase is overdue. */
  readonly deadline?: string;
  readonly generation: number;
  /** What it is made of. */
  readonly bundle?: { readonly name: string; readonly digest: string };
  /** What its guest has told of itself, calling home. */
  readonly checkIn?: CheckInStatus;
  readonly access?: Access;
  /** Why its guest goes on with the host key that it was given, where it should have made one of its own. */
  readonly unrotated?: string;
  readonly phases: readonly PhaseTime[];
  /** What exists at the provider because of us. */
  readonly debts: readonly { readonly kind: DebtKind; readonly key: string; readonly since: string }[];
  readonly reason?: Reason;
  /** Why a person gave it up: its provider may have it still. */
  readonly forgotten?: string;
  /** Of a standing machine: why its provider keeps it from everybody. It is not clean, and stays until somebody puts it back. */
  readonly takenOut?: string;
  /** What it had to say when it failed. */
  readonly evidence?: readonly Evidence[];
  /** What somebody asked of its power last. `underWay`: its provider has not said that it is done. */
  readonly power?: {
    readonly action: PowerAction;
    readonly at: string;
    readonly by?: string;
    readonly underWay?: boolean;
  };
  readonly step?: { readonly index: number; readonly of: number; readonly title: string };
  readonly waiting?: QuotaWait;
  /** Whom it is for. */
  readonly owner?: string;
  /** What it costs of its account. */
  readonly quota?: { readonly account: string; readonly cores: number; readonly memoryMb: number };
  readonly facts: Readonly<Record<string, string>>;
}

/** The answer of the query `status` of a task. */
export interface TaskStatus {
  readonly taskId: string;
  readonly leaseId: string;
  readonly state: TaskState;
  readonly command: TaskSpec['command'];
  readonly startedAt?: string;
  readonly stdout: { readonly bytes: number; readonly tail: string };
  readonly stderr: { readonly bytes: number; readonly tail: string };
  readonly result?: TaskResult;
}
