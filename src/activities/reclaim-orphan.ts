import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import { attributesOf } from '../contract/attributes.ts';
import { taskQueue, workflowType } from '../contract/messages.ts';
import { machineWorkflowId } from '../domain/ids.ts';
import type { MachineInput } from '../domain/machine.ts';
import type { InventoryItem } from '../providers/provider.ts';
import type { Deps } from './deps.ts';
import { accountWithQuota } from './reconcile-quota.ts';

/**
 * Starts the machine's life again, with nothing in it but the debt. Under the machine's own id: Temporal refuses it while
 * an owner lives, so that nothing that is owned can be reclaimed, whatever was seen before.
 * @returns false when it has an owner after all
 */
export async function startReclaim(
  deps: Deps,
  provider: string,
  machineId: string,
  item: Pick<InventoryItem, 'key' | 'ref' | 'tags'>,
): Promise<boolean> {
  const leaseId = item.tags['slipway-lease'];
  const account = await accountWithQuota(deps, provider);
  const input: MachineInput = {
    machineId,
    leaseId,
    provider,
    variant: 0,
    birth: '',
    key: item.key,
    plan: orphanPlan,
    ttlMs: 0,
    tuning: deps.tuning,
    reclaimOnly: { ref: item.ref, ...(account ? { account: account.name } : {}) },
  };
  try {
    await deps.client.workflow.start(workflowType.machine, {
      taskQueue,
      workflowId: machineWorkflowId(machineId),
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      workflowIdConflictPolicy: 'FAIL',
      args: [input],
      memo: { key: item.key },
      staticSummary: `orphan of lease ${leaseId}`,
      typedSearchAttributes: attributesOf({ state: 'reclaiming', provider, lease: leaseId }),
    });
    return true;
  } catch (error) {
    if (error instanceof WorkflowExecutionAlreadyStartedError) return false;
    throw error;
  }
}

/** An orphan has no way to ready any more; only its debt counts. */
const orphanPlan: MachineInput['plan'] = {
  bundle: { name: '', digest: '' },
  variants: [],
  steps: [],
  gate: 'steps',
  limits: { readyWithinMs: 0, provisionWithinMs: 0, loadWithinMs: 0, accessWithinMs: 0, customizeWithinMs: 0 },
  ttlMs: 0,
  maxTtlMs: 0,
  attempts: 1,
};
