import { WithStartWorkflowOperation, type Client } from '@temporalio/client';
import type { AccountQuota, QuotaAnswer, QuotaAsk } from '../../src/domain/quota.ts';
import { defaultTuning, type Tuning } from '../../src/domain/tuning.ts';

/** Asks an account for a machine that is only a name, as an activity does for a real one. */
export const askFor = (
  { client, taskQueue }: { readonly client: Client; readonly taskQueue: string },
  account: string,
  quota: AccountQuota,
  change: Partial<QuotaAsk> = {},
  tuning: Tuning = defaultTuning,
): Promise<QuotaAnswer> => {
  const ask: QuotaAsk = {
    key: 'k',
    machineId: 'none.1',
    leaseId: 'none',
    owner: 'ana',
    priority: 0,
    provider: 'fake',
    place: 'fake',
    cores: 1,
    memoryMb: 0,
    patient: true,
    ...change,
  };
  return client.workflow.executeUpdateWithStart<() => Promise<void>, QuotaAnswer, [unknown]>('reserve', {
    args: [{ ask, quota }],
    startWorkflowOperation: new WithStartWorkflowOperation('quota', {
      workflowId: `quota/${account}`,
      taskQueue,
      args: [{ account, tuning }] as never,
      workflowIdConflictPolicy: 'USE_EXISTING',
    }),
  });
};
