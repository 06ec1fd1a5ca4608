import type { Reason } from './failure.ts';
import type { MachineReport } from './machine-report.ts';
import { machineFailed, machineOver, machineReported, overWith, unclaimed, withMachine } from './pool-machine.ts';
import { matched } from './pool-order.ts';
import { inVain } from './pool-service.ts';
import {
  digestIn,
  type Claim,
  type ClaimStage,
  type PoolDeclaration,
  type PoolLife,
  type PoolMachine,
  type PoolPeriod,
} from './pool.ts';
import { sameBody } from './same.ts';

export type PoolEvent =
  | { readonly type: 'declared'; readonly declared: PoolDeclaration }
  /** Not declared any more: it ends when its last machine is gone. */
  | { readonly type: 'retracted'; readonly why: string }
  | { readonly type: 'set'; readonly target?: number; readonly ceiling?: number }
  /** What was set by hand is forgotten. */
  | { readonly type: 'reset' }
  | { readonly type: 'drained'; readonly why: string }
  | { readonly type: 'scheduled'; readonly list: readonly PoolPeriod[]; readonly knownUntilMs: number }
  | { readonly type: 'claim'; readonly claim: Claim }
  | { readonly type: 'withdrawn'; readonly leaseId: string; readonly attempt: number }
  /** The lease knows of its grant, or is no more. */
  | { readonly type: 'told'; readonly leaseId: string; readonly attempt: number; readonly closed: boolean }
  | { readonly type: 'refusalTold'; readonly leaseId: string }
  | { readonly type: 'started'; readonly machineId: string; readonly provider: string; readonly digest: string }
  /** `taken`: an earlier pool of this name had a machine of that id. */
  | { readonly type: 'startFailed'; readonly machineId: string; readonly taken: boolean; readonly reason: Reason }
  /** What is under way now for the claim that a machine serves. */
  | { readonly type: 'serving'; readonly machineId: string; readonly stage: ClaimStage }
  | { readonly type: 'retiring'; readonly machineId: string; readonly why: string }
  | { readonly type: 'reported'; readonly report: MachineReport }
  /** The machine's workflow is closed, and told nothing. */
  | { readonly type: 'closed'; readonly machineId: string; readonly reason: Reason }
  | { readonly type: 'refused'; readonly text: string }
  /** Time has passed. */
  | { readonly type: 'woken' };

/** The last change of a pool. Pure; an event that means nothing now changes nothing. Idle machines are given away at once. */
export function applyPool(life: PoolLife, event: PoolEvent, nowMs: number): PoolLife {
  return settled(changed(life, event, nowMs), nowMs, event.type === 'claim' ? event.claim : undefined);
}

function changed(life: PoolLife, event: PoolEvent, nowMs: number): PoolLife {
  switch (event.type) {
    case 'declared':
      return declared(life, event.declared);
    case 'retracted':
      return { ...life, mode: 'retracted', why: event.why };
    case 'set': {
      const { type: _, ...set } = event;
      return reopened({ ...life, set: { ...life.set, ...set } });
    }
    case 'reset':
      return reopened({ ...life, set: {} });
    case 'drained':
      return life.mode === 'retracted' ? life : { ...life, mode: 'drained', why: event.why };
    case 'scheduled':
      return { ...life, periods: { list: event.list, knownUntilMs: event.knownUntilMs } };
    case 'claim':
      return claimed(life, event.claim, nowMs);
    case 'withdrawn':
      return withdrawn(life, event.leaseId, event.attempt, nowMs);
    case 'told':
      return told(life, event.leaseId, event.attempt, event.closed, nowMs);
    case 'refusalTold':
      return { ...life, refusals: life.refusals.filter(({ leaseId }) => leaseId !== event.leaseId) };
    case 'started': {
      const { machineId, provider, digest } = event;
      const made: PoolMachine = { machineId, provider, digest, phase: 'making', sinceMs: nowMs, uses: 0 };
      return { ...life, machines: [...life.machines, made], nextMachine: life.nextMachine + 1 };
    }
    case 'startFailed': {
      const without = { ...life, machines: life.machines.filter(({ machineId }) => machineId !== event.machineId) };
      // Twice as far: an earlier pool's ids are passed in a few tries.
      return event.taken
        ? { ...without, nextMachine: (life.nextMachine - 1) * 2 }
        : machineFailed(without, event.reason, nowMs);
    }
    case 'serving':
      return serving(life, event.machineId, event.stage);
    case 'retiring':
      return withMachine(life, event.machineId, (machine) => ({ ...machine, retiring: event.why }));
    case 'reported':
      return machineReported(life, event.report, nowMs);
    case 'closed':
      return machineOver(life, event.machineId, event.reason, nowMs);
    case 'refused':
      return { ...life, refused: [...life.refused, event.text].slice(-5) };
    case 'woken':
      return life;
  }
}

function declared(life: PoolLife, next: PoolDeclaration): PoolLife {
  const plan = next.plan ?? life.declared.plan;
  const settings = next.refused ? life.declared.settings : next.settings;
  const so: PoolLife = { ...life, declared: { ...next, settings, ...(plan ? { plan } : {}) } };
  const changedSettings = !sameBody(settings, life.declared.settings);
  const known = life.declared.plan;
  const changedBundle = plan !== undefined && (known === undefined || digestIn(plan) !== digestIn(known));
  // What was done by hand stands until the declaration itself is another; one that is back opens the pool again.
  const open = changedSettings ? reopened({ ...without(so, 'periods'), set: {} }) : so;
  const back = life.mode === 'retracted' ? reopened(open) : open;
  return changedBundle ? { ...without(back, 'failing'), variant: 0 } : back;
}

const reopened = (life: PoolLife): PoolLife => ({ ...without(without(life, 'failing'), 'why'), mode: 'open' });

function claimed(life: PoolLife, claim: Claim, nowMs: number): PoolLife {
  const { leaseId, attempt } = claim;
  const ended = life.over.find((each) => each.leaseId === leaseId);
  if (ended && attempt <= ended.attempt) return life;
  const served = life.machines.find((machine) => machine.claim?.leaseId === leaseId)?.claim;
  const known = served ?? life.waiting.find((each) => each.leaseId === leaseId);
  if (known && known.attempt >= attempt) return life;
  // A later attempt of the lease: the machine of the earlier one has failed it, whether we have heard or not.
  const so = known ? withdrawn(life, leaseId, known.attempt, nowMs) : life;
  if (inVain(so, claim)) return so;
  return {
    ...so,
    waiting: [...so.waiting, { ...claim, sinceMs: nowMs, nth: so.nextNth }],
    nextNth: so.nextNth + 1,
  };
}

function withdrawn(life: PoolLife, leaseId: string, attempt: number, nowMs: number): PoolLife {
  const over = overWith(life, leaseId, attempt);
  const machine = life.machines.find(({ claim }) => claim?.leaseId === leaseId && claim.attempt <= attempt);
  const waiting = life.waiting.filter((each) => each.leaseId !== leaseId || each.attempt > attempt);
  const so = { ...life, over, waiting };
  if (!machine?.claim) return so;
  const { claim } = machine;
  return withMachine(so, machine.machineId, (each) =>
    claim.stage === 'toTell' || claim.stage === 'toHold'
      ? idleAgain(each, nowMs)
      : { ...each, claim: { ...claim, withdrawn: true } },
  );
}

function told(life: PoolLife, leaseId: string, attempt: number, closed: boolean, nowMs: number): PoolLife {
  const machine = life.machines.find(
    ({ claim }) => claim?.leaseId === leaseId && claim.attempt === attempt && claim.stage === 'telling',
  );
  if (!machine?.claim) return life;
  const { claim } = machine;
  const so = closed ? { ...life, over: overWith(life, leaseId, attempt) } : life;
  return withMachine(so, machine.machineId, (each) =>
    closed || claim.withdrawn ? idleAgain(each, nowMs) : { ...each, claim: { ...claim, stage: 'toHold' } },
  );
}

const serving = (life: PoolLife, machineId: string, stage: ClaimStage): PoolLife =>
  withMachine(life, machineId, (machine) =>
    machine.claim ? { ...machine, claim: { ...machine.claim, stage } } : machine,
  );

/** Never touched for the lease that it was meant for. */
const idleAgain = (machine: PoolMachine, nowMs: number): PoolMachine => ({
  ...unclaimed(machine),
  phase: 'warm',
  sinceMs: nowMs,
});

/** Who waits in vain is told; idle machines go to who waits. The claim that is being answered needs no telling. */
function settled(life: PoolLife, nowMs: number, asking: Claim | undefined): PoolLife {
  const vain = life.waiting.flatMap((waiting) => {
    const answer = inVain(life, waiting);
    return answer === undefined ? [] : [{ leaseId: waiting.leaseId, grant: { attempt: waiting.attempt, ...answer } }];
  });
  const isVain = (leaseId: string): boolean => vain.some((each) => each.leaseId === leaseId);
  const left: PoolLife =
    vain.length === 0
      ? life
      : {
          ...life,
          waiting: life.waiting.filter(({ leaseId }) => !isVain(leaseId)),
          refusals: [...life.refusals, ...vain.filter(({ leaseId }) => leaseId !== asking?.leaseId)],
        };
  const given = matched(left, nowMs);
  const answered = given.machines.find(({ claim }) => claim?.leaseId === asking?.leaseId && claim?.stage === 'toTell');
  return asking && answered ? serving(given, answered.machineId, 'toHold') : given;
}

function without<K extends 'failing' | 'why' | 'periods'>(life: PoolLife, key: K): PoolLife {
  const { [key]: _, ...rest } = life;
  return rest as PoolLife;
}
