import type { Client } from '@temporalio/client';
import { workflowType } from '../contract/messages.ts';
import type { Deps } from './deps.ts';

/** Long enough to look into one that went wrong; its findings go on in the results of the later ones. */
const keptMs = 3_600_000;
/** At a run: far more than can have grown old since the one before. */
const mostForgotten = 100;

/**
 * A look each minute would fill the retention of 30 days, which is there for leases, with tens of thousands of runs that
 * found nothing. Best effort: what stays is found by the next sweep.
 */
export async function forgetSweeps(
  deps: Pick<Deps, 'client' | 'logger'>,
  schedule: string,
  olderThanMs = keptMs,
): Promise<void> {
  const before = new Date(Date.now() - olderThanMs).toISOString();
  const type = `WorkflowType = '${workflowType.sweep}' AND TemporalScheduledById = '${schedule}'`;
  // The scheduler is itself a workflow, in a part of the index of its own; it continues as new every few hundred actions.
  const scheduler = `TemporalNamespaceDivision = 'TemporalScheduler' AND WorkflowId = 'temporal-sys-scheduler:${schedule}'`;
  try {
    for (const which of [type, scheduler])
      await forget(deps.client, `${which} AND ExecutionStatus != 'Running' AND CloseTime < '${before}'`);
  } catch (error) {
    deps.logger.warn({ error, schedule }, 'old sweeps could not be forgotten');
  }
}

async function forget(client: Client, query: string): Promise<void> {
  const { namespace } = client.options;
  let left = mostForgotten;
  for await (const { workflowId, runId } of client.workflow.list({ query, pageSize: mostForgotten })) {
    await client.workflowService
      .deleteWorkflowExecution({ namespace, workflowExecution: { workflowId, runId } })
      .catch(unlessGone);
    left -= 1;
    if (left === 0) return;
  }
}

/** The index may lag behind a deletion. */
function unlessGone(error: unknown): void {
  const notFound = 5;
  if (error instanceof Error && 'code' in error && error.code === notFound) return;
  throw error;
}
