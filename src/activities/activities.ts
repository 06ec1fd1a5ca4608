import type { Plan } from '../domain/bundle.ts';
import type { Evidence } from '../domain/evidence.ts';
import type { Reason } from '../domain/failure.ts';
import type { HostKeyNews, HostKeySource } from '../domain/host-key.ts';
import type { Access, LeaseRequest, LeaseState, StepFailure } from '../domain/lease.ts';
import type { Located, Reached } from '../domain/machine-life.ts';
import type { Debt } from '../domain/machine.ts';
import type { Notification, NotifyEvent, NotifyTarget } from '../domain/notify.ts';
import type { Claim, ClaimAnswer, PoolPeriod, PoolPeriodRule } from '../domain/pool.ts';
import type { PowerAction } from '../domain/power.ts';
import type { FoundMachine } from '../domain/reuse.ts';
import type { SweepReport } from '../domain/sweep.ts';
import type { QuotaAnswer, QuotaAsk } from '../domain/quota.ts';
import type { OutputAdvanced, TaskResult, TaskSpec } from '../domain/task.ts';
import type { FileOrder, FileResult } from '../domain/transfer.ts';
import type { Tuning } from '../domain/tuning.ts';

/** A machine as its workflow knows it: enough to find it and to derive its keys again; no secrets. */
export interface MachineRef {
  readonly machineId: string;
  readonly leaseId: string;
  readonly birth: string;
  readonly generation: number;
  /** The generation whose keys its guest has, where that is an earlier one. */
  readonly keys?: number;
  /** Where its bundle wants its host key from. */
  readonly hostKey?: HostKeySource;
  readonly provider: string;
  readonly key: string;
  readonly ref?: Readonly<Record<string, string>>;
}

export interface GuestRef {
  readonly machine: MachineRef;
  readonly access: Access;
}

/** What the query `guest` of a lease answers. */
export interface LeaseGuest {
  readonly state: LeaseState;
  /** While the lease has a machine that somebody may use. */
  readonly guest?: GuestRef;
}

export interface TaskRef extends GuestRef {
  readonly leaseId: string;
  readonly taskId: string;
  readonly spec: TaskSpec;
  /** Of the recipe: it holds the bound of the task's output. */
  readonly digest: string;
}

/** A call to a dispatcher's own URL. The key that it is signed with is known by its name only. */
export interface Notice {
  readonly leaseId: string;
  readonly event: NotifyEvent;
  /** The same for one event of one lease, at every try. */
  readonly webhookId: string;
  readonly target: NotifyTarget;
  readonly body: Notification;
}

/** How it was taken. */
export interface Notified {
  readonly status: number;
  readonly tries: number;
}

export type WatchNews = { readonly type: 'lost'; readonly reason: Reason } | { readonly type: 'leaseClosed' };

/** A child whose workflow has closed without telling. */
export interface ClosedChild {
  readonly workflowId: string;
  readonly status: string;
}

export interface PoolClaim {
  /** The pool's name. */
  readonly pool: string;
  readonly claim: Claim;
}

/** `birth`: the pool's first run. Another pool of the name knows nothing of who waits in this one; absent when there is none. */
export type PoolAnswer = ClaimAnswer & { readonly birth?: string };

/** Who wants the machine. The work ends as `Gone` when that workflow has closed without a word; absent: nobody is asked. */
export interface Held {
  readonly holder?: string;
}

/** What the workflows can have done in the world. One object in, one object out; each may run twice. */
export interface Activities {
  resolveBundle(input: { readonly request: LeaseRequest }): Promise<{ readonly plan: Plan; readonly tuning: Tuning }>;

  /** For the machine's part of an account: where it stands. The same key is the same reservation. */
  reserveQuota(input: { readonly account: string; readonly ask: QuotaAsk }): Promise<QuotaAnswer>;
  /** As `reserveQuota`, until it is granted or refused. */
  awaitQuota(input: Held & { readonly account: string; readonly ask: QuotaAsk }): Promise<QuotaAnswer>;
  /** The same claim gets the same machine, however often it is asked. */
  claimMachine(input: PoolClaim): Promise<PoolAnswer>;
  /** Ends when the pool that a lease waits in is no more: it has asked again, and answers what came of that. */
  watchClaim(input: PoolClaim & { readonly birth: string }): Promise<PoolAnswer>;
  /** Time zones are the worker's own knowledge, which may be newer than a history. */
  planSchedule(input: {
    readonly rules: readonly PoolPeriodRule[];
    readonly fromMs: number;
  }): Promise<{ readonly list: readonly PoolPeriod[]; readonly knownUntilMs: number }>;

  /** @param input.createByMs no attempt goes on beyond it, so that a destroy knows from when on absence counts */
  createMachine(
    input: Held & {
      readonly machine: MachineRef;
      readonly digest: string;
      readonly variant: number;
      readonly createByMs: number;
    },
  ): Promise<{
    readonly ref: Readonly<Record<string, string>>;
    /** Where the machine runs as soon as it is made. */
    readonly located?: Located;
    /** Where its guest answers at once, too. */
    readonly reached?: Reached;
  }>;
  awaitRunning(
    input: Held & {
      readonly machine: MachineRef;
    },
  ): Promise<{ readonly access: Access; readonly facts: Readonly<Record<string, string>> }>;
  /**
   * Full login on the pinned key; then, where that came with the machine's user-data, has the guest make one of its own.
   * With `access.nextHostKey`: has it switch to that one, and proves that it has. Where its host key is not known yet: learns it
   * first.
   * @param input.told the host keys that its guest has posted
   */
  awaitAccessible(
    input: GuestRef & Held & { readonly told?: readonly string[] },
  ): Promise<{ readonly facts: Readonly<Record<string, string>>; readonly hostKey?: HostKeyNews }>;
  runStep(
    input: GuestRef & Held & { readonly digest: string; readonly step: number },
  ): Promise<{ readonly failure?: StepFailure }>;
  awaitGate(input: GuestRef & Held & { readonly digest: string }): Promise<void>;
  /** Ends with news. @param input.off it was switched off: that it is down, and silent, is none */
  watchMachine(input: GuestRef & { readonly holder: string; readonly off?: boolean }): Promise<WatchNews>;
  /**
   * What a failed machine has to say, into the output store: within seconds, or not at all.
   * @param input.lastStep the last step that may have written something, from 0
   */
  gatherEvidence(input: {
    readonly machine: MachineRef;
    readonly access?: Access;
    readonly lastStep: number;
  }): Promise<{ readonly evidence: readonly Evidence[] }>;
  powerMachine(input: { readonly machine: MachineRef; readonly action: PowerAction }): Promise<void>;
  watchChildren(input: { readonly workflowIds: readonly string[] }): Promise<readonly ClosedChild[]>;
  /** How a machine stands after its lease. @param input.bootId the boot that was proven */
  inspectMachine(input: GuestRef & { readonly bootId?: string }): Promise<FoundMachine>;
  takeBaseline(input: GuestRef & { readonly digest: string }): Promise<{ readonly baseline: string }>;
  /** The next generation of the machine, from its image. */
  reloadMachine(input: {
    readonly machine: MachineRef;
    readonly digest: string;
    readonly variant: number;
  }): Promise<{ readonly access: Access; readonly facts: Readonly<Record<string, string>> }>;
  /** The next generation, by what its guest remembers; `left`: what that could not take away. */
  resetGuest(input: GuestRef & { readonly digest: string; readonly baseline: string }): Promise<{
    readonly access: Access;
    readonly facts: Readonly<Record<string, string>>;
    readonly keptKeys: boolean;
    readonly left: readonly string[];
  }>;
  /** Ends only when the provider says absent, on two looks. @returns why nobody gets a standing machine again */
  destroyMachine(input: {
    readonly machine: MachineRef;
    readonly debt: Debt;
  }): Promise<{ readonly takenOut?: string } | undefined>;

  /** Launches (once, by id) and follows from what is stored; `detached` when cancelled or when the leg is over. */
  followTask(
    input: TaskRef & { readonly legMs: number; readonly startedAtMs: number },
  ): Promise<{ readonly ended?: TaskResult; readonly output?: OutputAdvanced }>;
  killTask(input: TaskRef & { readonly why: 'cancelled' | 'timedOut' }): Promise<void>;
  /** The guest will say no more: ends the stored output where it stands. */
  abandonTask(input: {
    readonly leaseId: string;
    readonly taskId: string;
    readonly spec: TaskSpec;
    readonly digest: string;
    readonly reason: string;
    readonly cancelled: boolean;
    readonly startedAtMs: number;
  }): Promise<TaskResult>;

  /**
   * To or from the guest of a lease; goes on where an earlier attempt stood.
   * @param input.guest given by the lease itself, which nobody else may use any more; else the lease is asked for it
   */
  moveFile(input: {
    readonly leaseId: string;
    readonly fileId: string;
    readonly order: FileOrder;
    readonly guest?: GuestRef;
  }): Promise<FileResult>;
  letKeyIn(input: { readonly leaseId: string; readonly publicKey: string }): Promise<void>;
  takeKeyOut(input: { readonly leaseId: string; readonly publicKey: string }): Promise<void>;

  /** One try to tell a dispatcher; the same call, by its id, however often. */
  notify(input: Notice): Promise<Notified>;

  forgetSecrets(input: { readonly leaseId: string }): Promise<void>;
  /**
   * @param input.graceMs with `reclaim`: an orphan is what nobody owns on two looks so far apart
   * @param input.schedule whose earlier sweeps may be forgotten
   */
  sweepProviders(input: {
    readonly provider?: string;
    readonly reclaim: boolean;
    readonly graceMs?: number;
    readonly schedule?: string;
  }): Promise<SweepReport>;
}
