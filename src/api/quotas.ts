import type { Client } from '@temporalio/client';
import { DomainError } from '../domain/failure.ts';
import { quotaWorkflowId } from '../domain/ids.ts';
import type { MachineStatus, QuotaWait } from '../domain/lease.ts';
import { quotaStatusOf, type QuotaListing, type QuotaStatus } from '../domain/quota-status.ts';
import { emptyLedger, type Account } from '../domain/quota.ts';
import { fullBucket } from '../domain/token-bucket.ts';
import type { ApiDeps } from './deps.ts';
import { domainErrorOf } from './temporal-failure.ts';
import { describe, queryStatus } from './workflows.ts';
import { workflowType } from '../contract/messages.ts';

/** Every account that the settings allow a part of. */
export async function listQuotas(deps: Pick<ApiDeps, 'client' | 'accounts'>): Promise<readonly QuotaListing[]> {
  const accounts = await deps.accounts();
  return Promise.all(accounts.map(async (account) => listingOf(account, await statusOf(deps.client, account))));
}

function listingOf(
  { name, providers }: Account,
  { quota, inUse, owners, waiting, coolDowns, rate }: QuotaStatus,
): QuotaListing {
  return {
    account: name,
    providers,
    quota,
    inUse,
    owners,
    waiting: waiting.length,
    coolDowns: coolDowns.length,
    ...(rate ? { rate } : {}),
  };
}

/** @throws DomainError NotFound */
export async function showQuota(deps: Pick<ApiDeps, 'client' | 'accounts'>, name: string): Promise<QuotaStatus> {
  const account = (await deps.accounts()).find((each) => each.name === name);
  if (account) return statusOf(deps.client, account);
  throw new DomainError('NotFound', `There is no account ${name} with a quota or a rate.`, {
    hint: 'slipway quota list; they are declared under providers.<name> of slipway.yaml (quota, rate, account).',
  });
}

/** An account that nobody has asked of is all free. */
async function statusOf(client: Client, { name, quota = {}, rate }: Account): Promise<QuotaStatus> {
  const kept = await ledgerOf(client, name);
  if (kept) return kept;
  const nowMs = Date.now();
  const calls = rate ? { rate, bucket: fullBucket(rate, nowMs) } : undefined;
  return quotaStatusOf(emptyLedger(name, quota), calls, nowMs);
}

/** What the account's workflow says; undefined when nobody keeps a ledger of it now. */
async function ledgerOf(client: Client, account: string): Promise<QuotaStatus | undefined> {
  const missing = (): DomainError => new DomainError('NotFound', `Nobody has asked of account ${account}.`);
  try {
    const { status } = await describe(client, quotaWorkflowId(account), workflowType.quota, missing);
    return status.name === 'RUNNING' ? await queryStatus<QuotaStatus>(client, quotaWorkflowId(account)) : undefined;
  } catch (error) {
    if (domainErrorOf(error)?.type === 'NotFound') return undefined;
    throw error;
  }
}

/** Where a machine that waits stands by now: it was told its place when it asked. */
export async function waitNow(client: Client, machine: MachineStatus): Promise<QuotaWait | undefined> {
  const { waiting } = machine;
  if (machine.phase !== 'queued' || !waiting) return undefined;
  const status = await ledgerOf(client, waiting.account).catch(() => undefined);
  const now = status?.waiting.find(({ key }) => key === machine.key);
  return now && status
    ? { account: waiting.account, place: now.place, of: status.waiting.length, why: now.why }
    : waiting;
}
