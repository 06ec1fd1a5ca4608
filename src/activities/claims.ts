import { Context } from '@temporalio/activity';
import { WorkflowUpdateFailedError, type WorkflowClient } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { poolUpdates } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { poolWorkflowId } from '../domain/ids.ts';
import { periodsOf } from '../domain/pool-schedule.ts';
import type { Activities, PoolAnswer, PoolClaim } from './activities.ts';
import { beating, pause } from './beat.ts';
import type { Deps } from './deps.ts';
import { toTemporal } from './failure.ts';
import { createTurns } from './turns.ts';

/** A workflow takes ten updates at once, and more of them wait in the client with growing pauses: we queue in order. */
const updatesAtOnce = 8;
const turns = createTurns(updatesAtOnce);

export function claimActivities(deps: Deps): Pick<Activities, 'claimMachine' | 'watchClaim' | 'planSchedule'> {
  return {
    claimMachine: (input) =>
      Context.current().info.isLocal
        ? atOnce(deps.client.workflow, input)
        : beating((signal) => askPool(deps.client.workflow, input, signal)),

    watchClaim: (input) =>
      beating((signal) => watchQueue(deps.client.workflow, input, deps.times.leaseEveryMs, signal), {
        everyMs: 20_000,
        patient: true,
      }),

    planSchedule: ({ rules, fromMs }) => {
      // A local activity: it has no heartbeat.
      try {
        return Promise.resolve(periodsOf(rules, fromMs));
      } catch (error) {
        return Promise.reject(toTemporal(error));
      }
    },
  };
}

/** Tasks of leases that wait for their pools: the pools need places for tasks of their own on the same worker. */
const waitingTasks = createTurns(updatesAtOnce);

/** As part of a task of the lease, for which nobody may wait in a line. A local activity has no heartbeat. */
async function atOnce(workflows: WorkflowClient, input: PoolClaim): Promise<PoolAnswer> {
  const signal = Context.current().cancellationSignal;
  try {
    if (waitingTasks.isBusy('') || turns.isBusy(input.pool))
      throw new DomainError('ProviderUnavailable', `Many ask pool ${input.pool} now.`);
    return await waitingTasks.take('', signal, () => askPool(workflows, input, signal));
  } catch (error) {
    throw toTemporal(error);
  }
}

/** Asks the next pool of the name, and the next, until one of them has more to say than that the lease is queued. */
export async function watchQueue(
  workflows: WorkflowClient,
  { birth, ...input }: PoolClaim & { readonly birth: string },
  everyMs: number,
  signal: AbortSignal,
): Promise<PoolAnswer> {
  for (let known = birth; ;) {
    await pause(everyMs, signal);
    signal.throwIfAborted();
    if (known === (await birthOf(workflows, input.pool)) || !(await isStillWanted(workflows))) continue;
    const answer = await askPool(workflows, input, signal);
    if (answer.state !== 'queued') return answer;
    known = answer.birth ?? '';
  }
}

/** Of this activity: a cancel travels on heartbeats, and what is asked meanwhile would be for nobody. */
async function isStillWanted(workflows: WorkflowClient): Promise<boolean> {
  const { activityId, workflowExecution } = Context.current().info;
  if (!workflowExecution) return true;
  const { workflowId, runId } = workflowExecution;
  try {
    const { raw } = await workflows.getHandle(workflowId, runId).describe();
    const self = raw.pendingActivities?.find((pending) => pending.activityId === activityId);
    return Number(self?.state) === started;
  } catch (error) {
    throw new DomainError('ProviderUnavailable', `Temporal does not answer about ${workflowId}.`, { cause: error });
  }
}

/** PENDING_ACTIVITY_STATE_STARTED; one that is to be cancelled has another state. */
const started = 2;

/** The first run of the pool that is open now; undefined when there is none. */
export async function birthOf(workflows: WorkflowClient, pool: string): Promise<string | undefined> {
  try {
    const { status, raw } = await workflows.getHandle(poolWorkflowId(pool)).describe();
    return status.name === 'RUNNING' ? (raw.workflowExecutionInfo?.firstRunId ?? undefined) : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw new DomainError('ProviderUnavailable', `Temporal does not answer about pool ${pool}.`, { cause: error });
  }
}

/** @throws DomainError ProviderUnavailable (to be asked again) when the pool is there and cannot answer now */
export async function askPool(
  workflows: WorkflowClient,
  { pool, claim }: PoolClaim,
  signal: AbortSignal,
): Promise<PoolAnswer> {
  try {
    return await turns.take(pool, signal, () =>
      workflows
        .getHandle(poolWorkflowId(pool))
        .executeUpdate<PoolAnswer, [unknown]>(poolUpdates.claim, { args: [claim] }),
    );
  } catch (error) {
    signal.throwIfAborted();
    // It closed under the claim, or between two of its runs: whether there is one still says what to do.
    const closed = error instanceof WorkflowNotFoundError || error instanceof WorkflowUpdateFailedError;
    if (closed && (await birthOf(workflows, pool)) === undefined) {
      return { state: 'none', why: `there is no pool ${pool}` };
    }
    throw new DomainError('ProviderUnavailable', `Pool ${pool} does not answer now.`, { cause: error });
  }
}
