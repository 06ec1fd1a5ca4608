import { randomUUID } from 'node:crypto';
import type { Client } from '@temporalio/client';
import type { PoolListing } from '../contract/pool-views.ts';
import { poolUpdates, workflowType } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { poolWorkflowId } from '../domain/ids.ts';
import type { LeaseQueue } from '../domain/lease.ts';
import type { PoolStatus } from '../domain/pool-status.ts';
import type { ApiDeps } from './deps.ts';
import { closedUnderUpdate, domainErrorOf } from './temporal-failure.ts';
import { queryStatus, quickly } from './workflows.ts';

const noPool = (name: string): DomainError =>
  new DomainError('NotFound', `There is no pool ${name}.`, {
    hint: 'slipway pool list; pools are declared in slipway.yaml.',
  });

export async function listPools({ client, taskQueue }: ApiDeps): Promise<readonly PoolListing[]> {
  const query = `WorkflowType = '${workflowType.pool}' AND ExecutionStatus = 'Running' AND TaskQueue = '${taskQueue}'`;
  const found = await quickly(client, async () => {
    const ids: string[] = [];
    for await (const { workflowId } of client.workflow.list({ query })) ids.push(workflowId);
    return ids;
  });
  const listed = await Promise.all(
    found.map((workflowId) =>
      queryStatus<PoolStatus>(client, workflowId).catch((error: unknown) => {
        // One that has ended meanwhile, or was refused at its door.
        if (domainErrorOf(error)?.type === 'ProviderUnavailable') throw error;
        return undefined;
      }),
    ),
  );
  return listed
    .flatMap((status) => (status === undefined ? [] : [listingOf(status)]))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function listingOf({ name, bundle, state, reason, target, ceiling, machines, waiting }: PoolStatus): PoolListing {
  const count = (...phases: readonly PoolStatus['machines'][number]['phase'][]): number =>
    machines.filter(({ phase }) => phases.includes(phase)).length;
  return {
    name,
    bundle,
    state,
    ...(reason ? { reason } : {}),
    target,
    ceiling,
    warm: count('warm'),
    making: count('making'),
    leased: count('leased'),
    leaving: count('leaving', 'stuck'),
    waiting: waiting.length,
  };
}

/** @throws DomainError NotFound */
export async function showPool(client: Client, name: string): Promise<PoolStatus> {
  try {
    return await queryStatus<PoolStatus>(client, poolWorkflowId(name));
  } catch (error) {
    throw domainErrorOf(error)?.type === 'NotFound' ? noPool(name) : error;
  }
}

export const setPool = (deps: ApiDeps, name: string, body: unknown): Promise<PoolStatus> =>
  update(deps, name, poolUpdates.set, body);

/** Repeatable. */
export const drainPool = (deps: ApiDeps, name: string, body: unknown): Promise<PoolStatus> =>
  update(deps, name, poolUpdates.drain, body);

async function update({ client }: ApiDeps, name: string, what: string, body: unknown): Promise<PoolStatus> {
  const handle = client.workflow.getHandle(poolWorkflowId(name));
  try {
    return await quickly(client, () =>
      handle.executeUpdate<PoolStatus, [unknown]>(what, { args: [body], updateId: randomUUID() }),
    );
  } catch (error) {
    throw closedUnderUpdate(error) ? noPool(name) : error;
  }
}

/** Where the lease stands now: it knows only what it was told when it asked. */
export async function queueNow(client: Client, leaseId: string, queue: LeaseQueue): Promise<LeaseQueue> {
  const status = await showPool(client, queue.pool).catch(() => undefined); // as it was told, then
  const now = status?.waiting.find((waiting) => waiting.leaseId === leaseId);
  if (!status || !now) return queue;
  const { place, estimateMs } = now;
  return {
    pool: queue.pool,
    since: queue.since,
    place,
    of: status.waiting.length,
    ...(estimateMs === undefined ? {} : { estimateMs }),
    ...(status.reason ? { reason: status.reason } : {}),
  };
}
