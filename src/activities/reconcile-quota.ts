import { Context } from '@temporalio/activity';
import { WorkflowNotFoundError } from '@temporalio/common';
import { quotaSignals, queries, workflowType } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { machineWorkflowId, quotaWorkflowId } from '../domain/ids.ts';
import type { MachineStatus } from '../domain/lease.ts';
import { unknownOwner } from '../domain/owner.ts';
import type { Inventory, Seen } from '../domain/quota-heal.ts';
import type { Account } from '../domain/quota.ts';
import type { QuotaStatus } from '../domain/quota-status.ts';
import type { InventoryItem } from '../providers/provider.ts';
import type { Deps } from './deps.ts';
import { ownerOf } from './owners.ts';

/** The account of a provider, where it has a quota. */
export const accountWithQuota = async (deps: Deps, provider: string): Promise<Account | undefined> =>
  (await deps.accounts()).find((account) => account.quota && account.providers.includes(provider));

/**
 * Tells the ledger of the provider's account where it disagrees with what is there. The inventory was taken first: what was
 * reserved since is not missed, because its owner lives.
 */
export async function reconcileQuota(
  deps: Deps,
  provider: string,
  machines: readonly InventoryItem[],
  atMs: number,
): Promise<void> {
  const of = await accountWithQuota(deps, provider);
  if (!of?.quota) return;
  const { name: account, quota } = of;
  const ledger = await ledgerOf(deps, account);
  const held = (ledger?.held ?? []).filter((each) => each.provider === provider);
  const waiting = (ledger?.waiting ?? []).filter((each) => each.provider === provider);
  const there = new Set(machines.map(({ key }) => key));
  const known = new Set([...held, ...waiting].map(({ key }) => key));
  const closed: string[] = [];
  for (const { machineId, key } of [...held.filter((each) => !there.has(each.key)), ...waiting])
    if ((await ownerOf(deps, machineId, key)).verdict !== 'owned') closed.push(key);
  const doubtful = new Set(held.filter((each) => each.found === true || each.missing === true).map(({ key }) => key));
  const seen: Seen[] = [];
  for (const item of machines) if (!known.has(item.key) || doubtful.has(item.key)) seen.push(await seenAs(deps, item));
  // It knows all of this: a message would only make its history longer.
  if (closed.length === 0 && doubtful.size === 0 && seen.length === 0) return;
  const inventory: Inventory = { provider, atMs, seen, closed };
  await deps.client.workflow.signalWithStart(workflowType.quota, {
    workflowId: quotaWorkflowId(account),
    taskQueue: Context.current().info.taskQueue,
    args: [{ account, quota, tuning: deps.tuning }],
    signal: quotaSignals.reconcile,
    signalArgs: [inventory],
    staticSummary: `quota of account ${account}`,
  });
}

/** Undefined: nobody keeps one now. */
async function ledgerOf(deps: Deps, account: string): Promise<QuotaStatus | undefined> {
  const handle = deps.client.workflow.getHandle(quotaWorkflowId(account));
  try {
    const { status } = await handle.describe();
    return status.name === 'RUNNING' ? await handle.query<QuotaStatus>(queries.status) : undefined;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw new DomainError('ProviderUnavailable', `The quota of ${account} does not answer.`, { cause: error });
  }
}

/** What a machine that nobody reserved costs: as its own life says, where that can be asked. */
async function seenAs(deps: Deps, { key, tags }: InventoryItem): Promise<Seen> {
  const { 'slipway-machine': machineId, 'slipway-lease': leaseId } = tags;
  const life = await deps.client.workflow
    .getHandle(machineWorkflowId(machineId))
    .query<MachineStatus>(queries.status)
    .catch(() => undefined);
  const own = life?.key === key ? life : undefined;
  return {
    key,
    machineId,
    leaseId,
    owner: own?.owner ?? unknownOwner,
    cores: own?.quota?.cores ?? 1,
    memoryMb: own?.quota?.memoryMb ?? 0,
  };
}
