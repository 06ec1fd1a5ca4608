import { ApplicationFailure, CancellationScope, getExternalWorkflowHandle, isCancellation } from '@temporalio/workflow';
import { quotaSignals } from '../contract/messages.ts';
import { quotaWorkflowId } from '../domain/ids.ts';
import type { MachineEvent } from '../domain/machine-life.ts';
import { quotaOf, type Debt } from '../domain/machine.ts';
import { unknownOwner } from '../domain/owner.ts';
import type { QuotaAsk } from '../domain/quota.ts';
import { reasonOf } from './failures.ts';
import type { OpenMachine } from './machine-life.ts';
import { quotas } from './proxies.ts';

/** Until its part of the account is granted: by the answer, by the account's signal, or when it asks again. */
export async function queue(own: OpenMachine): Promise<MachineEvent> {
  const { input } = own;
  const { machineId, leaseId, key, provider } = input;
  const quota = quotaOf(input);
  if (!quota) return { type: 'granted' };
  const { account, ...cost } = quota;
  own.apply({ type: 'owed', debt: { kind: 'quota', key: account, sinceMs: Date.now(), quietFromMs: Date.now() } });
  const ask: QuotaAsk = {
    key,
    machineId,
    leaseId,
    owner: input.owner ?? unknownOwner,
    priority: input.priority ?? 0,
    provider,
    patient: input.patient ?? false,
    ...cost,
  };
  try {
    let answer = await quotas(`quota of ${account}`).reserveQuota({ account, ask });
    if (answer.state === 'queued') {
      const { place, of, why } = answer;
      own.apply({ type: 'queued', waiting: { account, place, of, why } });
      // Being granted meanwhile must not cut it short: a lease that cannot be told counts as closed.
      await CancellationScope.nonCancellable(() => own.tellHolders());
      answer = await quotas(`wait for quota of ${account}`).awaitQuota({ account, ask, ...own.held });
    }
    return answer.state === 'refused' ? { type: 'refused', reason: answer.reason } : { type: 'granted' };
  } catch (error) {
    if (isCancellation(error)) return { type: 'interrupted' };
    const message = `Quota of account ${account} could not be asked for.`;
    const reason = reasonOf(error, { type: 'ProviderUnavailable', message });
    return reason.type === 'Gone' ? { type: 'leaseClosed' } : { type: 'refused', reason };
  }
}

/** What the create said: the account lets nobody go there for a while, and takes this machine's part back. */
export async function tellStockout(own: OpenMachine, error: unknown): Promise<void> {
  const quota = quotaOf(own.input);
  const { cause } = error as { cause?: unknown };
  if (!quota || !(cause instanceof ApplicationFailure) || cause.type !== 'CapacityUnavailable') return;
  const { retryAfterMs = 0 } = (cause.details?.[0] ?? {}) as { retryAfterMs?: number };
  await signal(quota.account, quotaSignals.stockout, {
    key: own.input.key,
    place: quota.place,
    ...(retryAfterMs > 0 ? { retryAfterMs } : {}),
  });
}

export const giveQuotaBack = (own: OpenMachine, debt: Debt): Promise<void> =>
  signal(debt.key, quotaSignals.release, { key: own.input.key });

/** An account that keeps no ledger any more has nothing of ours. */
async function signal(account: string, name: string, body: unknown): Promise<void> {
  const handle = getExternalWorkflowHandle(quotaWorkflowId(account));
  await CancellationScope.nonCancellable(() => handle.signal(name, body).catch(() => undefined));
}
