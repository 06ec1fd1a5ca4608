import type { Connection } from '@temporalio/client';
import { setTimeout as pause } from 'node:timers/promises';
import type { StackTemporal } from '../config/stack-file.ts';
import { upkeepWorkflowTypes, workflowType } from '../contract/messages.ts';
import { look, lookEveryMs, notIdle } from './idle.ts';

export interface IdleWatchOptions {
  readonly connection: Connection;
  readonly temporal: StackTemporal;
  readonly idleMs: number;
  /** A client that holds the stack: it is not idle then, whatever Temporal says. */
  readonly held: () => boolean;
  readonly signal: AbortSignal;
}

/** One who is told something and does not answer is told at the next start: a stack is not kept up for a day by that. */
const notifyKeepsUpMs = 600_000;
const upkeep = upkeepWorkflowTypes.map((type) => `'${type}'`).join(', ');

/**
 * Whether a workflow is open, beside the stack's work on itself: any on a server of our own, which would end with us, and those of slipway on another. An
 * unanswered question counts as work: nothing ends by a fault.
 */
async function hasOpenWork(connection: Connection, temporal: StackTemporal, nowMs = Date.now()): Promise<boolean> {
  const ours = temporal.profile === undefined ? '' : ` AND TaskQueue = '${temporal.taskQueue}'`;
  const since = new Date(nowMs - notifyKeepsUpMs).toISOString();
  const fresh = `(WorkflowType != '${workflowType.notify}' OR StartTime > '${since}')`;
  try {
    const found = await connection.workflowService.countWorkflowExecutions({
      namespace: temporal.namespace,
      query: `ExecutionStatus = 'Running' AND WorkflowType NOT IN (${upkeep}) AND ${fresh}${ours}`,
    });
    return Number(found.count) > 0;
  } catch {
    return true;
  }
}

/** Returns when nothing has been open for `idleMs`, or when the signal says so (then false). */
export async function untilIdle(options: IdleWatchOptions): Promise<boolean> {
  let idle = notIdle;
  for (;;) {
    try {
      await pause(lookEveryMs(options.idleMs), undefined, { signal: options.signal });
    } catch {
      return false;
    }
    const busy = options.held() || (await hasOpenWork(options.connection, options.temporal));
    const seen = look(idle, performance.now(), busy, options.idleMs);
    if (seen.end) return true;
    idle = seen.idle;
  }
}

const settleMs = 2_000;

/** A quick look for one who is done: two looks in a row without work, within the time that visibility lags behind. */
export async function isIdleNow(connection: Connection, temporal: StackTemporal, nowMs?: number): Promise<boolean> {
  const until = performance.now() + settleMs;
  for (let quiet = 0; performance.now() < until;) {
    quiet = (await hasOpenWork(connection, temporal, nowMs)) ? 0 : quiet + 1;
    if (quiet === 2) return true;
    await pause(100);
  }
  return false;
}
