import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { WorkflowNotFoundError, type WorkflowClient } from '@temporalio/client';
import type {
  Activities,
  ClosedChild,
  GuestRef,
  Held,
  MachineRef,
  Notice,
  PoolAnswer,
  PoolClaim,
  TaskRef,
  WatchNews,
} from '../../src/activities/activities.ts';
import { updateAccount } from '../../src/activities/account-updates.ts';
import { askPool, watchQueue } from '../../src/activities/claims.ts';
import { isWanted } from '../../src/activities/watch.ts';
import type { Plan } from '../../src/domain/bundle.ts';
import type { FailureType, Reason } from '../../src/domain/failure.ts';
import { chosenHostKey, isGuestsOwn, type HostKeyNews } from '../../src/domain/host-key.ts';
import { machineWorkflowId } from '../../src/domain/ids.ts';
import type { Access } from '../../src/domain/lease.ts';
import type { MachineInput } from '../../src/domain/machine.ts';
import type { AccountQuota, QuotaAnswer } from '../../src/domain/quota.ts';
import type { Orphan, SweepReport } from '../../src/domain/sweep.ts';
import { periodsOf } from '../../src/domain/pool-schedule.ts';
import type { FoundMachine } from '../../src/domain/reuse.ts';
import type { TaskResult } from '../../src/domain/task.ts';
import type { FileResult } from '../../src/domain/transfer.ts';
import { defaultTuning, type Tuning } from '../../src/domain/tuning.ts';
import { fakePlan } from './fake-plan.ts';
import { fakeResult } from './fake-result.ts';
import { createGates } from './gates.ts';

export { fakeResult } from './fake-result.ts';

export type ActivityName = keyof Activities;

/** A fault of one activity: thrown before or after its effect, so many times from its next call on. */
export interface Fault {
  readonly activity: ActivityName;
  readonly side: 'before' | 'after';
  readonly type?: FailureType;
  readonly retryable?: boolean;
  readonly times?: number;
}

interface FakeMachine {
  readonly machineId: string;
  readonly leaseId: string;
  readonly provider: string;
  readonly state: 'made' | 'destroyed';
  /** As it was made, reloaded or reset last. */
  readonly generation: number;
}

const napTypes: Partial<Record<ActivityName, FailureType>> = {
  createMachine: 'CapacityUnavailable',
  awaitAccessible: 'GuestUnreachable',
  runStep: 'GuestUnreachable',
  awaitGate: 'GuestUnreachable',
  followTask: 'GuestUnreachable',
};

const beatEveryMs = 50;
const legOver = new Error('the leg is over');

/** A world in memory, with the effects of the activities: a test can ask what is left of them. */
export class FakeWorld {
  plan: Plan = fakePlan();
  tuning: Tuning = defaultTuning;
  /** On the guest, by path. */
  readonly files = new Map<string, FileResult>();
  readonly keys = new Set<string>();
  /** By index of the step: the exit code it ends with. */
  stepFailure: Record<number, number> = {};
  jobExit = 0;
  /** What a look at a machine after its lease finds. */
  found: Partial<FoundMachine> = {};
  /** What a reset cannot take away. */
  left: readonly string[] = [];
  /** `<machine> reload 2`: each renewal that took effect, once. */
  readonly renewals: string[] = [];
  /** `<machine> off`: each that was asked for, as often as it took effect. */
  readonly powers: string[] = [];
  /** While false, the provider refuses every destroy: `now` is tried again, `forGood` is not. */
  destroyable: true | 'now' | 'forGood' = true;
  /** By machine: what the watch says of it next. */
  readonly lost = new Map<string, Reason>();
  /**
   * By activity: it fails and is tried again after so long, as one that gets no answer. For tests that skip time: a running
   * activity would hold their clock.
   */
  readonly naps = new Map<ActivityName, number>();
  /** These hear no cancellation, as a call to a provider that is under way. */
  readonly stubborn = new Set<ActivityName>();
  /** Machines run, and their guests answer, as soon as they are made. */
  atOnce = false;
  /** Guests make a host key of their own as they are logged in to first. */
  ownHostKeys: boolean | 'kept' = false;
  /** Of a lease: where the machines of its bundle's pool live. */
  pool: FakeWorld | undefined;
  /** How often the watches look. */
  lookEveryMs = 50;
  /** Runs every effect twice, as if each activity had been delivered twice. */
  twice = false;

  /** What the next sweep finds, beside the machines of this world. */
  inventory: SweepReport = {
    providers: ['fake'],
    at: '2026-01-01T00:00:00.000Z',
    owned: 0,
    orphans: [],
    forgotten: [],
    failures: [],
    reclaimed: 0,
  };

  /** By provider key. */
  readonly machines = new Map<string, FakeMachine>();
  /** Machines that were made while another one of the lease was there. */
  readonly overlaps: string[] = [];
  /** Machines whose workflow was terminated: they wait for the sweep, whatever their lease does meanwhile. */
  readonly orphans = new Set<string>();
  /** By task: the machines on which it was launched. */
  readonly launches = new Map<string, Set<string>>();
  readonly killed = new Set<string>();
  readonly calls: ActivityName[] = [];
  /** Of each machine's customizing, in order: which step of which recipe. */
  readonly steps: { readonly digest: string; readonly step: number }[] = [];
  readonly forgotten: string[] = [];
  /** Each call that a dispatcher took. */
  readonly told: Notice[] = [];
  /** By account; asked of the real `quota/<account>`. */
  quotas: ReadonlyMap<string, AccountQuota> = new Map();
  faults: Fault[] = [];
  fired = 0;
  private readonly gates = createGates<ActivityName>();
  /** By task: what ends the wait of the one who follows it. */
  private readonly following = new Map<string, { readonly machineKey: string; readonly stop: () => void }>();
  /** What the watches look at, and where pools are asked; without it no workflow closes and there are no pools. */
  workflows: WorkflowClient | undefined;

  constructor(workflows?: WorkflowClient) {
    this.workflows = workflows;
  }

  /** The activity waits from now on, before its effect, until it is let go or cancelled. */
  hold(name: ActivityName): void {
    this.gates.hold(name);
  }

  isHeld(name: ActivityName): Promise<void> {
    return this.gates.isHeld(name);
  }

  letGo(name: ActivityName): void {
    this.gates.letGo(name);
  }

  /** Machines that exist at the provider. */
  owned(): string[] {
    return [...this.machines.values()]
      .filter((machine) => machine.state === 'made')
      .map((machine) => machine.machineId);
  }

  count(name: ActivityName): number {
    return this.calls.filter((call) => call === name).length;
  }

  private fault(activity: ActivityName, side: Fault['side']): void {
    const fault = this.faults.find((one) => one.activity === activity && one.side === side);
    if (!fault) return;
    this.fired += 1;
    const left = (fault.times ?? 1) - 1;
    this.faults = this.faults.filter((one) => one !== fault);
    if (left > 0) this.faults.push({ ...fault, times: left });
    throw ApplicationFailure.create({
      type: fault.type ?? 'ProviderUnavailable',
      message: `injected ${side} ${activity}`,
      nonRetryable: !(fault.retryable ?? false),
    });
  }

  private nap(name: ActivityName, wake: boolean): void {
    const nextRetryDelay = this.naps.get(name);
    if (nextRetryDelay === undefined || wake) return;
    const type = napTypes[name] ?? 'ProviderUnavailable';
    throw ApplicationFailure.create({ type, message: `${name} has no answer`, nextRetryDelay });
  }

  private async act<T>(
    name: ActivityName,
    effect: () => T | Promise<T>,
    gate: () => Promise<void> = () => this.gates.pass(name),
    wake: () => boolean = () => false,
  ): Promise<T> {
    this.calls.push(name);
    this.fault(name, 'before');
    this.nap(name, wake());
    await (this.stubborn.has(name) ? this.beating(gate()) : this.untilCancelled(gate()));
    if (this.twice) await effect();
    const result = await effect();
    this.fault(name, 'after');
    return result;
  }

  private async beating<T>(work: Promise<T>): Promise<T> {
    const context = Context.current();
    const beat = setInterval(() => context.heartbeat(), beatEveryMs);
    return work.finally(() => clearInterval(beat));
  }

  private async untilCancelled<T>(work: Promise<T>): Promise<T> {
    const signal = Context.current().cancellationSignal;
    let stop = (): void => undefined;
    const cancelled = new Promise<never>((_, reject) => {
      stop = () => reject(new CancelledFailure('cancelled'));
      if (signal.aborted) stop();
      signal.addEventListener('abort', stop, { once: true });
    });
    try {
      return await this.beating(Promise.race([work, cancelled]));
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  /** Looks until there is an answer. */
  private async looking<T>(look: () => Promise<T | undefined> | T | undefined): Promise<T> {
    for (;;) {
      const seen = await look();
      if (seen !== undefined) return seen;
      await this.untilCancelled(new Promise((resolve) => setTimeout(resolve, this.lookEveryMs)));
    }
  }

  private async isClosed(workflowId: string): Promise<string | undefined> {
    if (!this.workflows) return undefined;
    try {
      const { status } = await this.workflows.getHandle(workflowId).describe();
      return status.name === 'RUNNING' ? undefined : status.name;
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return 'NOT_FOUND';
      throw error;
    }
  }

  /** Pools are workflows: they are asked themselves. */
  private ask(input: PoolClaim): Promise<PoolAnswer> {
    if (!this.workflows) return Promise.resolve({ state: 'none', why: 'there are no pools' });
    return askPool(this.workflows, input, Context.current().cancellationSignal);
  }

  /** Work on a machine that nobody watches yet: it ends too when the machine's holder has closed. */
  private heldAct<T>(name: ActivityName, { holder }: Held, effect: () => T | Promise<T>): Promise<T> {
    const pass = async (): Promise<void> => {
      const over = new AbortController();
      const closing = async (): Promise<void> => {
        while (!over.signal.aborted) {
          await new Promise((resolve) => setTimeout(resolve, this.lookEveryMs));
          if (!over.signal.aborted && holder !== undefined && (await this.isClosed(holder)) !== undefined)
            throw ApplicationFailure.nonRetryable(`${holder} has closed`, 'Gone');
        }
      };
      const closed = closing();
      closed.catch(() => undefined); // read below, or nobody waits any more
      await Promise.race([this.gates.pass(name), closed]).finally(() => over.abort());
    };
    return this.act(name, effect, pass);
  }

  private make(machine: MachineRef): void {
    const known = this.machines.get(machine.key);
    if (known?.state === 'destroyed') throw ApplicationFailure.nonRetryable('tombstone', 'Gone');
    if (known) return;
    const { machineId, leaseId, provider } = machine;
    const others = [...this.machines.values()].filter((other) => other.leaseId === leaseId && other.state === 'made');
    // A pool's machines are for no lease yet.
    if (leaseId !== '' && others.some((other) => !this.orphans.has(other.machineId))) this.overlaps.push(machineId);
    this.machines.set(machine.key, { machineId, leaseId, provider, state: 'made', generation: 1 });
  }

  private destroy(machine: MachineRef): void {
    if (this.destroyable !== true) {
      const { destroyable } = this;
      throw ApplicationFailure.create({
        type: destroyable === 'now' ? 'ProviderUnavailable' : 'ProviderAuthRefused',
        message: 'refused to destroy',
        nonRetryable: destroyable === 'forGood',
      });
    }
    const { machineId, leaseId, provider, key } = machine;
    const generation = this.machines.get(key)?.generation ?? 1;
    this.machines.set(key, { machineId, leaseId, provider, state: 'destroyed', generation });
    for (const { machineKey, stop } of this.following.values()) if (machineKey === key) stop();
  }

  private async askQuota({ account, ask }: Parameters<Activities['reserveQuota']>[0]): Promise<QuotaAnswer> {
    const quota = this.quotas.get(account);
    if (!quota || !this.workflows) return { state: 'granted' };
    const to = { workflows: this.workflows, taskQueue: Context.current().info.taskQueue, tuning: this.tuning };
    return updateAccount<QuotaAnswer>(to, account, 'reserve', { ask, quota });
  }

  private homeOf({ key }: MachineRef): FakeWorld {
    return this.pool?.machines.has(key) ? this.pool : this;
  }

  /** Idempotent by generation, as a provider is. */
  private renew(machine: MachineRef, how: 'reload' | 'reset'): void {
    const known = this.machines.get(machine.key);
    if (known?.state !== 'made') throw ApplicationFailure.nonRetryable('no such machine', 'Gone');
    const generation = machine.generation + 1;
    if (known.generation >= generation) return;
    this.machines.set(machine.key, { ...known, generation });
    this.renewals.push(`${machine.machineId} ${how} ${generation}`);
  }

  private hostKeyNews(
    { hostKey, pin, nextHostKey }: Access,
    told: readonly string[] = ['ssh-ed25519 AAAACCCC'],
  ): { hostKey?: HostKeyNews } {
    if (hostKey === '')
      return { hostKey: { learned: { hostKey: chosenHostKey(told) ?? '', fingerprint: 'SHA256:z' } } };
    if (this.ownHostKeys === false || pin === 'rotated') return {};
    if (this.ownHostKeys === 'kept') return { hostKey: { kept: 'no root there' } };
    if (nextHostKey === undefined) return { hostKey: { next: 'ssh-ed25519 BBBB' } };
    return { hostKey: { rotated: { hostKey: nextHostKey, fingerprint: 'SHA256:y' } } };
  }

  private isStopped({ machine, leaseId, taskId }: Pick<TaskRef, 'machine' | 'leaseId' | 'taskId'>): boolean {
    return (
      this.killed.has(`${leaseId}/${taskId}`) || this.homeOf(machine).machines.get(machine.key)?.state === 'destroyed'
    );
  }

  private async untilStopped({ machine, leaseId, taskId }: TaskRef, legMs: number): Promise<void> {
    const key = `${leaseId}/${taskId}`;
    if (this.isStopped({ machine, leaseId, taskId })) return;
    const stopped = new Promise<void>((stop) => {
      this.homeOf(machine).following.set(key, { machineKey: machine.key, stop });
    });
    let leg: NodeJS.Timeout | undefined;
    const over = new Promise<never>((_, reject) => {
      leg = setTimeout(() => reject(legOver), legMs);
    });
    await Promise.race([this.gates.pass('followTask'), stopped, over]).finally(() => clearTimeout(leg));
  }

  private follow({ machine, leaseId, taskId, spec }: TaskRef): { ended: TaskResult } {
    const key = `${leaseId}/${taskId}`;
    const there = this.homeOf(machine).machines.get(machine.key)?.state === 'made';
    if (!there) {
      const lost = { ...fakeResult(taskId, spec.command, null), state: 'lost', lost: true } as const;
      return { ended: { ...lost, reason: `machine ${machine.machineId} has ended` } };
    }
    this.launches.set(key, new Set([...(this.launches.get(key) ?? []), machine.key]));
    const killed = this.killed.has(key);
    return { ended: fakeResult(taskId, spec.command, killed ? 143 : this.jobExit, killed) };
  }

  private async sweep(reclaim: boolean): Promise<SweepReport> {
    const orphans: Orphan[] = [...this.inventory.orphans];
    let { owned } = this.inventory;
    for (const [key, { machineId, leaseId, provider, state }] of this.machines) {
      if (state !== 'made') continue;
      const workflowId = machineWorkflowId(machineId);
      if ((await this.isClosed(workflowId)) === undefined) owned += 1;
      else
        orphans.push({
          machineId,
          provider,
          kind: 'machine',
          key,
          state: 'running',
          createdAt: '',
          reclaimed: reclaim,
        });
      if (!reclaim || orphans.at(-1)?.machineId !== machineId) continue;
      const rest = { machineId, leaseId, provider, key, variant: 0, birth: '', ttlMs: 0, reclaimOnly: {} };
      const input: MachineInput = { ...rest, plan: this.plan, tuning: this.tuning };
      await this.workflows?.start('machine', {
        workflowId,
        taskQueue: Context.current().info.taskQueue,
        workflowIdReusePolicy: 'ALLOW_DUPLICATE',
        args: [input],
      });
    }
    return { ...this.inventory, owned, orphans };
  }

  activities(): Activities {
    return {
      claimMachine: (input) => this.act('claimMachine', () => this.ask(input)),
      watchClaim: (input) =>
        this.act<PoolAnswer>('watchClaim', () =>
          this.workflows
            ? this.beating(watchQueue(this.workflows, input, this.lookEveryMs, Context.current().cancellationSignal))
            : { state: 'none', why: 'there are no pools' },
        ),
      planSchedule: ({ rules, fromMs }) => this.act('planSchedule', () => periodsOf(rules, fromMs)),
      resolveBundle: () => this.act('resolveBundle', () => ({ plan: this.plan, tuning: this.tuning })),
      reserveQuota: (input) => this.act('reserveQuota', () => this.askQuota(input)),
      awaitQuota: ({ holder, ...input }) =>
        this.heldAct('awaitQuota', holder === undefined ? {} : { holder }, async () => {
          const answer = await this.askQuota(input);
          if (answer.state !== 'queued') return answer;
          throw ApplicationFailure.create({ type: 'CapacityUnavailable', message: answer.why, nextRetryDelay: 60_000 });
        }),
      createMachine: ({ machine, ...held }) =>
        this.heldAct('createMachine', held, () => {
          this.make(machine);
          if (!this.atOnce) return { ref: { id: machine.key } };
          const located = { access: accessOf(machine), facts: { image: 'debian' }, tookMs: 2 };
          return { ref: { id: machine.key }, located, reached: { facts: { kernel: '6.1' }, tookMs: 3 } };
        }),
      awaitRunning: ({ machine, ...held }) =>
        this.heldAct('awaitRunning', held, () => ({ access: accessOf(machine), facts: { image: 'debian' } })),
      awaitAccessible: ({ access, told, ...held }) =>
        this.heldAct('awaitAccessible', held, () => ({ facts: { kernel: '6.1' }, ...this.hostKeyNews(access, told) })),
      runStep: ({ digest, step, ...held }) =>
        this.heldAct('runStep', held, () => {
          this.steps.push({ digest, step });
          const exitCode = this.stepFailure[step] ?? 0;
          if (exitCode === 0) return {};
          const title = this.plan.steps[step]?.title ?? '';
          return { failure: { step, of: this.plan.steps.length, title, exitCode, output: 'machine/x/step/0' } };
        }),
      awaitGate: (held) => this.heldAct('awaitGate', held, () => undefined),
      inspectMachine: ({ machine }) =>
        this.act('inspectMachine', () => ({
          state: this.machines.get(machine.key)?.state === 'made' ? ('running' as const) : ('absent' as const),
          reload: true,
          guest: 'same' as const,
          ...this.found,
        })),
      takeBaseline: ({ machine }) => this.act('takeBaseline', () => ({ baseline: `baseline of ${machine.machineId}` })),
      reloadMachine: ({ machine }) =>
        this.act('reloadMachine', () => {
          this.renew(machine, 'reload');
          return { access: accessOf(machine), facts: { image: 'debian' } };
        }),
      resetGuest: ({ machine }) =>
        this.act('resetGuest', () => {
          if (this.left.length === 0) this.renew(machine, 'reset');
          return { access: accessOf(machine), facts: {}, keptKeys: false, left: this.left };
        }),
      watchMachine: ({ machine, holder, off }: GuestRef & { holder: string; off?: boolean }) =>
        this.act('watchMachine', () =>
          this.looking<WatchNews>(async () => {
            const reason = this.lost.get(machine.machineId);
            if (reason && !off) return { type: 'lost', reason };
            const wanted = !this.workflows || (await isWanted(this.workflows, { holder, machine }));
            return wanted ? undefined : { type: 'leaseClosed' };
          }),
        ),
      watchChildren: ({ workflowIds }) =>
        this.act('watchChildren', () =>
          this.looking<ClosedChild[]>(async () => {
            const looks = workflowIds.map(async (workflowId) => ({
              workflowId,
              status: await this.isClosed(workflowId),
            }));
            const closed = (await Promise.all(looks)).flatMap(({ workflowId, status }) =>
              status === undefined ? [] : [{ workflowId, status }],
            );
            return closed.length > 0 ? closed : undefined;
          }),
        ),
      gatherEvidence: ({ machine }) =>
        this.act('gatherEvidence', () => ({
          evidence: [{ what: 'console' as const, generation: machine.generation, bytes: 7 }],
        })),
      powerMachine: ({ machine, action }) =>
        this.act('powerMachine', () => {
          if (this.machines.get(machine.key)?.state !== 'made')
            throw ApplicationFailure.nonRetryable('no such machine', 'Gone');
          this.powers.push(`${machine.machineId} ${action}`);
        }),
      destroyMachine: async ({ machine }) => {
        await this.act('destroyMachine', () => this.destroy(machine));
        return undefined;
      },
      followTask: (input) =>
        this.act(
          'followTask',
          () => this.follow(input),
          () => this.untilStopped(input, input.legMs),
          () => this.isStopped(input),
        ).catch((error: unknown) => {
          // Detached: it goes on in the guest.
          if (error instanceof CancelledFailure || error === legOver) return {};
          throw error;
        }),
      killTask: ({ machine, leaseId, taskId }) =>
        this.act('killTask', () => {
          this.killed.add(`${leaseId}/${taskId}`);
          this.homeOf(machine).following.get(`${leaseId}/${taskId}`)?.stop();
        }),
      abandonTask: ({ taskId, spec, reason, cancelled }) =>
        this.act('abandonTask', () => ({
          ...fakeResult(taskId, spec.command, null),
          state: 'lost',
          lost: true,
          cancelled,
          reason,
        })),
      moveFile: ({ order }) =>
        this.act('moveFile', () => {
          if ('put' in order) {
            const { blob: sha256, path, tree = false } = order.put;
            this.files.set(path, { path, bytes: 0, sha256, tree });
            return { path, bytes: 0, sha256, tree };
          }
          const known = this.files.get(order.get.path);
          if (known) return { ...known, mode: '644' };
          throw ApplicationFailure.nonRetryable(`there is no ${order.get.path}`, 'NotFound');
        }),
      letKeyIn: ({ publicKey }) => this.act('letKeyIn', () => void this.keys.add(publicKey)),
      takeKeyOut: ({ publicKey }) => this.act('takeKeyOut', () => void this.keys.delete(publicKey)),
      notify: (notice) =>
        this.act('notify', () => {
          this.told.push(notice);
          return { status: 204, tries: 1 };
        }),
      forgetSecrets: ({ leaseId }) => this.act('forgetSecrets', () => void this.forgotten.push(leaseId)),
      sweepProviders: ({ reclaim }) => this.act('sweepProviders', () => this.sweep(reclaim)),
    };
  }
}

export const accessOf = (machine: MachineRef): Access => ({
  machineId: machine.machineId,
  address: '127.77.0.1',
  port: 22,
  user: 'root',
  hostKey: 'ssh-ed25519 AAAA',
  fingerprint: 'SHA256:x',
  ...(isGuestsOwn(machine.hostKey) ? { hostKey: '', fingerprint: '', pin: machine.hostKey } : {}),
});
