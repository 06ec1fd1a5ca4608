import { ScheduleNotFoundError, WorkflowFailedError, type Client, type ScheduleDescription } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { sweepScheduleId, workflowType } from '../contract/messages.ts';
import { ledgerLine, type LastSweep, type LedgerLine } from '../domain/ledger.ts';
import type { SweepReport } from '../domain/sweep.ts';
import type { ApiDeps } from './deps.ts';
import { quickly } from './workflows.ts';

/** It is on our own disk. */
const standingWithinMs = 10_000;

/** Of every configured provider: what its last sweep found, and which machines are stuck there now. */
export const ledger = (deps: Pick<ApiDeps, 'client' | 'providers' | 'standing'>): Promise<readonly LedgerLine[]> =>
  Promise.all(
    deps.providers.map(async (provider) => {
      const [last, stuck, out] = await Promise.all([
        lastSweep(deps.client, provider),
        stuckAt(deps.client, provider),
        outAt(deps, provider),
      ]);
      return ledgerLine(provider, last, stuck, out);
    }),
  );

const outAt = async ({ standing }: Pick<ApiDeps, 'standing'>, provider: string): Promise<number | undefined> =>
  (await standing(provider)?.list(AbortSignal.timeout(standingWithinMs)))?.filter(({ state }) => state === 'out')
    .length;

async function stuckAt(client: Client, provider: string): Promise<number> {
  const query = `WorkflowType = '${workflowType.machine}' AND ExecutionStatus = 'Running' AND SlipwayState = 'stuck' AND SlipwayProvider = '${provider}'`;
  return (await quickly(client, () => client.workflow.count(query))).count;
}

async function lastSweep(client: Client, provider: string): Promise<LastSweep> {
  const handle = client.schedule.getHandle(sweepScheduleId(provider));
  let schedule: ScheduleDescription;
  try {
    schedule = await quickly(client, () => handle.describe());
  } catch (error) {
    // A worker makes it when it starts.
    if (error instanceof ScheduleNotFoundError) return { paused: false };
    throw error;
  }
  const { paused } = schedule.state;
  const running = new Set(schedule.info.runningActions.map(({ workflow }) => workflow.workflowId));
  let broken: LastSweep['broken'];
  for (const { takenAt, action } of schedule.info.recentActions.toReversed()) {
    const { workflowId } = action.workflow;
    if (running.has(workflowId)) continue;
    try {
      const result = await quickly(client, () => client.workflow.getHandle(workflowId).result());
      return { report: result as SweepReport, paused, ...(broken ? { broken } : {}) };
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) continue;
      if (!(error instanceof WorkflowFailedError)) throw error;
      const message = `The sweep ${workflowId} came to no end: ${error.cause?.message ?? error.message}.`;
      broken ??= { at: takenAt.toISOString(), failure: { type: 'Internal', message } };
    }
  }
  return { paused, ...(broken ? { broken } : {}) };
}
