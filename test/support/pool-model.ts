import type { MachineReport } from '../../src/domain/machine-report.ts';
import { applyPool, type PoolEvent } from '../../src/domain/pool-life.ts';
import { isOver, nextWakeMs, planPool, type PoolAction } from '../../src/domain/pool-plan.ts';
import { answerTo } from '../../src/domain/pool-service.ts';
import { bornPool, type Claim, type ClaimAnswer, type PoolDeclaration, type PoolLife } from '../../src/domain/pool.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { fakePlan } from './fake-plan.ts';

export const digest = (version: string): string => version.repeat(64).slice(0, 64);
export const planOf = (version = 'd', variants: readonly string[] = ['fake']) =>
  fakePlan({ bundle: { name: 'hello', digest: digest(version) }, variants });

export const declare = (
  settings: Partial<PoolDeclaration['settings']> = {},
  rest: Partial<PoolDeclaration> = {},
): PoolDeclaration => ({
  settings: { bundle: 'hello', target: 2, ceiling: 5, ...settings },
  plan: planOf(),
  tuning: defaultTuning,
  ...rest,
});

export const claimOf = (leaseId: string, change: Partial<Claim> = {}): Claim => ({
  leaseId,
  attempt: 1,
  owner: 'ana',
  priority: 0,
  digest: digest('d'),
  ttlMs: 60_000,
  ...change,
});

/** A machine of the model, as its own workflow would know it. */
interface ModelMachine {
  readonly machineId: string;
  state: 'making' | 'warm' | 'leased' | 'reclaiming' | 'gone';
  leaseId?: string;
  retiring: boolean;
  uses: number;
}

/** Something under way, that a test lets happen when it likes. */
export interface Pending {
  readonly what: PoolAction['do'] | 'ready' | 'reclaimed';
  readonly machineId?: string;
  readonly leaseId?: string;
  readonly happen: () => void;
}

/** A pool's decisions over a world of its own, without Temporal: what it does is under way until it is let happen. */
export class PoolModel {
  life: PoolLife;
  nowMs = 1_000_000;
  readonly machines = new Map<string, ModelMachine>();
  pending: Pending[] = [];
  /** By lease: every machine that took it, in order. */
  readonly taken = new Map<string, string[]>();
  /** By machine: the lease that was told how to reach it, and may have done so, since it was last made or renewed. */
  private readonly reached = new Map<string, string>();
  readonly told: { readonly leaseId: string; readonly state: string }[] = [];
  readonly closedLeases = new Set<string>();
  created = 0;
  /** Machines that are given back are made ready again. */
  reuse = false;
  /** Why the next machines fail, if they do. */
  broken: MachineReport['reason'];

  constructor(declared = declare()) {
    this.life = bornPool('web', declared, this.nowMs);
    this.act();
  }

  apply(event: PoolEvent): void {
    this.life = applyPool(this.life, event, this.nowMs);
    this.act();
  }

  claim(claim: Claim): ClaimAnswer {
    this.apply({ type: 'claim', claim });
    const answer = answerTo(this.life, claim, this.nowMs);
    if (answer.state === 'granted' && answer.warm) this.reached.set(answer.machineId, claim.leaseId);
    return answer;
  }

  /** Time passes, with the pool waking as it said. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const wakeMs = nextWakeMs(this.life, this.nowMs);
      if (wakeMs === undefined || wakeMs > untilMs) break;
      this.nowMs = wakeMs;
      this.apply({ type: 'woken' });
    }
    this.nowMs = untilMs;
    this.apply({ type: 'woken' });
  }

  /** Lets everything happen that is under way, and what follows from it, but for leases that end by themselves. */
  settle(): void {
    for (let n = 0; this.pending.length > 0; n += 1) {
      if (n > 10_000) throw new Error('the pool comes to no rest');
      this.happen(0);
    }
  }

  happen(index: number): void {
    const [one] = this.pending.splice(index, 1);
    one?.happen();
  }

  /** The lease gives its machine back. */
  release(leaseId: string): void {
    for (const machine of this.machines.values())
      if (machine.leaseId === leaseId && machine.state === 'leased') {
        if (this.reuse && !machine.retiring) this.renew(machine);
        else this.reclaim(machine, 'released');
      }
  }

  private renew(machine: ModelMachine): void {
    const { machineId } = machine;
    machine.state = 'making';
    this.report(machine, 'renewing', 'released');
    this.pending.push({
      what: 'ready',
      machineId,
      happen: () => {
        if (machine.state !== 'making') return;
        delete machine.leaseId;
        this.made(machineId);
      },
    });
  }

  lose(machineId: string): void {
    const machine = this.machines.get(machineId);
    if (machine && (machine.state === 'warm' || machine.state === 'leased')) this.reclaim(machine, 'lost');
  }

  inState(...states: ModelMachine['state'][]): ModelMachine[] {
    return [...this.machines.values()].filter(({ state }) => states.includes(state));
  }

  get over(): boolean {
    return isOver(this.life);
  }

  private act(): void {
    for (;;) {
      const actions = planPool(this.life, this.nowMs);
      if (actions.length === 0) return;
      for (const action of actions) this.begin(action);
    }
  }

  private begin(action: PoolAction): void {
    const mark = (event: PoolEvent): void => void (this.life = applyPool(this.life, event, this.nowMs));
    const later = (rest: Omit<Pending, 'what'>): void => void this.pending.push({ what: action.do, ...rest });
    switch (action.do) {
      case 'tell': {
        const { machineId, leaseId, grant } = action;
        mark({ type: 'serving', machineId, stage: 'telling' });
        return later({
          leaseId,
          happen: () => {
            const closed = this.closedLeases.has(leaseId);
            if (!closed) this.told.push({ leaseId, state: grant.state });
            this.apply({ type: 'told', leaseId, attempt: grant.attempt, closed });
          },
        });
      }
      case 'refuse':
        mark({ type: 'refusalTold', leaseId: action.leaseId });
        return later({
          leaseId: action.leaseId,
          happen: () => void this.told.push({ leaseId: action.leaseId, state: action.grant.state }),
        });
      case 'hold': {
        const { machineId, hold } = action;
        mark({ type: 'serving', machineId, stage: 'holding' });
        return later({ machineId, leaseId: hold.leaseId, happen: () => this.hold(machineId, hold.leaseId) });
      }
      case 'release': {
        const { machineId, leaseId } = action;
        mark({ type: 'serving', machineId, stage: 'releasing' });
        return later({ machineId, leaseId, happen: () => this.release(leaseId) });
      }
      case 'retire': {
        const { machineId, why } = action;
        mark({ type: 'retiring', machineId, why });
        return later({ machineId, happen: () => this.retire(machineId) });
      }
      case 'start': {
        const { machineId, provider, digest } = action;
        mark({ type: 'started', machineId, provider, digest });
        this.created += 1;
        this.machines.set(machineId, { machineId, state: 'making', retiring: false, uses: 0 });
        return later({ machineId, happen: () => this.made(machineId) });
      }
      case 'schedule':
        mark({ type: 'scheduled', list: [], knownUntilMs: action.fromMs + 10 * 86_400_000 });
    }
  }

  private made(machineId: string): void {
    const machine = this.machines.get(machineId);
    if (machine?.state !== 'making') return;
    this.reached.delete(machineId);
    if (this.broken) return this.reclaim(machine, 'failed', this.broken);
    machine.state = 'warm';
    this.report(machine, 'warm');
  }

  private hold(machineId: string, leaseId: string): void {
    const machine = this.machines.get(machineId);
    if (!machine || machine.state === 'gone') {
      return this.apply({ type: 'closed', machineId, reason: { type: 'GuestLost', message: 'closed' } });
    }
    if (machine.state === 'warm') {
      const before = this.reached.get(machineId) ?? leaseId;
      if (before !== leaseId) throw new Error(`${leaseId} has ${machineId}, which ${before} may have used`);
      machine.state = 'leased';
      machine.leaseId = leaseId;
      machine.uses += 1;
      this.taken.set(leaseId, [...(this.taken.get(leaseId) ?? []), machineId]);
    }
    this.apply({ type: 'serving', machineId, stage: 'held' });
    if (this.closedLeases.has(leaseId)) this.release(leaseId);
  }

  private retire(machineId: string): void {
    const machine = this.machines.get(machineId);
    if (!machine) return;
    if (machine.state === 'leased') machine.retiring = true;
    else if (machine.state !== 'gone' && machine.state !== 'reclaiming') this.reclaim(machine, 'retired');
  }

  private reclaim(
    machine: ModelMachine,
    cause: NonNullable<MachineReport['pool']>['cause'] & string,
    reason?: MachineReport['reason'],
  ): void {
    machine.state = 'reclaiming';
    this.report(machine, 'reclaiming', cause, reason);
    this.pending.push({
      what: 'reclaimed',
      machineId: machine.machineId,
      happen: () => {
        machine.state = 'gone';
        this.report(machine, 'gone', cause, reason);
      },
    });
  }

  private report(
    { machineId, leaseId, uses }: ModelMachine,
    state: MachineReport['state'],
    cause?: NonNullable<MachineReport['pool']>['cause'],
    reason?: MachineReport['reason'],
  ): void {
    const pool = {
      provider: 'fake',
      birth: 'run',
      generation: 1,
      uses,
      ...(leaseId === undefined ? {} : { leaseId }),
      ...(cause === undefined ? {} : { cause }),
    };
    const access = { machineId, address: '::1', port: 22, user: 'root', hostKey: 'k', fingerprint: 'f' };
    const report: MachineReport = {
      machineId,
      key: 'k',
      state,
      access,
      phases: [],
      pool,
      ...(reason ? { reason } : {}),
    };
    this.apply({ type: 'reported', report });
  }
}
