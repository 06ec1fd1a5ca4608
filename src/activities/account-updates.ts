import { randomUUID } from 'node:crypto';
import { WithStartWorkflowOperation, WorkflowUpdateFailedError, type WorkflowClient } from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import { workflowType, type quotaUpdates } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { quotaWorkflowId } from '../domain/ids.ts';
import type { Tuning } from '../domain/tuning.ts';

const askWithinMs = 20_000;

export interface ToAccount {
  readonly workflows: WorkflowClient;
  readonly taskQueue: string;
  readonly tuning: Tuning;
}

/**
 * An update of `quota/<account>`, which is started when nobody has yet.
 * @throws ApplicationFailure InvalidRequest as its door says; DomainError ProviderUnavailable when Temporal does not answer
 */
export async function updateAccount<Answer>(
  { workflows, taskQueue, tuning }: ToAccount,
  account: string,
  name: (typeof quotaUpdates)[keyof typeof quotaUpdates],
  body: unknown,
): Promise<Answer> {
  try {
    return await workflows.withDeadline(Date.now() + askWithinMs, () =>
      workflows.executeUpdateWithStart<() => Promise<void>, Answer, [unknown]>(name, {
        args: [body],
        updateId: randomUUID(),
        startWorkflowOperation: new WithStartWorkflowOperation(workflowType.quota, {
          workflowId: quotaWorkflowId(account),
          taskQueue,
          args: [{ account, tuning }] as never,
          workflowIdConflictPolicy: 'USE_EXISTING',
          workflowIdReusePolicy: 'ALLOW_DUPLICATE',
          staticSummary: `quota of account ${account}`,
        }),
      }),
    );
  } catch (error) {
    if (error instanceof WorkflowUpdateFailedError && error.cause instanceof ApplicationFailure) throw error.cause;
    throw new DomainError('ProviderUnavailable', `Temporal does not answer about the quota of ${account}.`, {
      cause: error,
    });
  }
}
