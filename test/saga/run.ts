import { randomUUID } from 'node:crypto';
import type { WorkflowHandle } from '@temporalio/client';
import { leaseWorkflowId, poolWorkflowId, quotaWorkflowId, taskWorkflowId } from '../../src/domain/ids.ts';
import { fakePlan } from '../support/fake-plan.ts';
import type { FakeWorld } from '../support/fake-world.ts';
import type { SagaBench } from './bench.ts';
import type { Cell } from './cells.ts';
import type { ArmedPoint, Fault } from './faults.ts';
import { isTold, limited, localActivities, onTheWay } from './kinds.ts';
import { lives, taskIdOf, wayOf } from './lives.ts';
import { jobExit, outcomeOf } from './outcome.ts';
import { prefixes } from './short-time-outs.ts';

/** One cell under way. */
export interface Run {
  readonly bench: SagaBench;
  readonly cell: Cell;
  /** Of its lease, its pool, and of its world. */
  readonly leaseId: string;
  readonly world: FakeWorld;
  readonly point: ArmedPoint;
  /** The lease, where there is one. */
  readonly handle: WorkflowHandle;
  /** What is cancelled or terminated. */
  readonly target: WorkflowHandle;
  readonly task: WorkflowHandle;
  /** The account of a lease that has one. */
  readonly quota: WorkflowHandle;
}

export interface Outcome {
  readonly outcome: string;
  /** How often the fault happened. */
  readonly fired: number;
}

/** Only where attempts, or whole activities, are given up soon can these be shown in seconds. */
function prefixOf({ activity, what, side }: Cell): string {
  const impatient = what === 'timesOut' || what === 'killed' || (what === 'runsTwice' && side === 'before');
  if (!impatient) return '';
  if (localActivities.has(activity)) return what === 'killed' ? '' : prefixes.brief;
  return what === 'timesOut' && limited.has(activity) ? prefixes.overdue : prefixes.hasty;
}

function faultOf({ activity, what }: Cell): Fault {
  switch (what) {
    case 'failsOnce':
      return { kind: 'fails', forGood: false };
    case 'failsForGood':
      return { kind: 'fails', forGood: true };
    case 'runsTwice':
      return { kind: 'twice' };
    case 'timesOut':
      return { kind: 'silent', attempts: limited.has(activity) ? 'all' : 'first' };
    case 'signalled':
    case 'cancelled':
    case 'terminated':
      return { kind: 'held', deaf: false };
    case 'killed':
      return { kind: 'held', deaf: true };
  }
}

const steps = [{ title: 'one', limitMs: 60_000, allowFailure: false }];
/** No phase is over because the machine that runs the tests is busy. */
const hourMs = 3_600_000;
const farLimits = {
  readyWithinMs: hourMs,
  provisionWithinMs: hourMs,
  loadWithinMs: hourMs,
  accessWithinMs: hourMs,
  customizeWithinMs: hourMs,
};

/** Goes to where the fault has happened, or to where it is held. */
export async function begin(bench: SagaBench, cell: Cell): Promise<Run> {
  const run = prepare(bench, cell);
  await approach(run);
  await strike(run);
  return run;
}

/** Its world, and its fault: nothing runs yet. */
export function prepare(bench: SagaBench, cell: Cell): Run {
  const life = lives[cell.life];
  const way = wayOf({ cell });
  const leaseId = `${prefixOf(cell)}${randomUUID().slice(0, 8)}`;
  const { workflow } = bench.client;
  for (const of of [leaseId, poolWorkflowId(leaseId)]) {
    const each = bench.world(of);
    each.plan = fakePlan({ steps, gate: 'command', limits: farLimits });
    each.lookEveryMs = 400;
    each.jobExit = jobExit;
  }
  const world = life.world(bench, leaseId);
  way.prepare?.(world, leaseId);
  const point = bench.faults.arm({
    activity: cell.activity,
    side: cell.side,
    fault: faultOf(cell),
    at: (workflowId, input) => life.isMeant(leaseId, workflowId) && (way.when?.(input as never, leaseId) ?? true),
  });
  return {
    bench,
    cell,
    leaseId,
    world,
    point,
    handle: workflow.getHandle(leaseWorkflowId(leaseId)),
    target: workflow.getHandle(life.target(leaseId)),
    task: workflow.getHandle(taskWorkflowId(leaseId, taskIdOf(cell.life))),
    quota: workflow.getHandle(quotaWorkflowId(`q-${leaseId}`)),
  };
}

/** Starts it, and goes to where it waits for its last push. */
export async function approach(run: Run): Promise<void> {
  const way = wayOf(run);
  await way.before?.(run.bench, run.leaseId);
  await lives[run.cell.life].start(run);
  await way.until?.(run);
}

/** To the fault itself. */
export async function strike(run: Run): Promise<void> {
  await wayOf(run).drive?.(run);
  await run.point.reached;
}

/** What is done to the workflow while its activity is held there. */
export async function disturb({ cell, point, target, world }: Run): Promise<void> {
  const { activity, life, what } = cell;
  if (!isTold(what)) return;
  if (what === 'terminated' && target.workflowId.startsWith('machine/'))
    world.orphans.add(target.workflowId.slice('machine/'.length));
  if (what === 'cancelled') await target.cancel();
  else if (what === 'terminated') await target.terminate('by hand');
  else if (life === 'pool') await target.signal('retract', { why: 'no longer wanted' });
  else if (life === 'key') await target.signal('leave');
  else await target.signal('cancel', { reason: 'no longer needed' });
  point.fire();
  // They know no signal.
  const isDeaf = life === 'sweep' || life === 'file' || life === 'notification';
  const hears = onTheWay.has(activity) || (isDeaf && what === 'cancelled');
  if (!hears || what === 'terminated') point.letGo();
}

/** Lets the life come to its end, and checks what must hold after any. */
export async function end(run: Run): Promise<Outcome> {
  const { bench, cell, point } = run;
  const life = lives[cell.life];
  await life.settle(run);
  await point.over();
  const target = await outcomeOf(run.target);
  const swept = (await bench.reclaimOrphans(run)) && cell.life !== 'sweep' ? ', swept' : '';
  await bench.assertClean(run);
  bench.faults.disarm(point);
  return { outcome: `${target}${swept}${await life.others(run)}`, fired: point.fired };
}
