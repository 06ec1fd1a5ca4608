import type { WorkflowExecutionInfo } from '@temporalio/client';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { LeaseListing, MachineListing } from '../contract/http.ts';
import { workflowType } from '../contract/messages.ts';
import { leaseWorkflowId } from '../domain/ids.ts';
import { isOver, leaseEndStates, leaseStates, machineStates } from '../domain/lease.ts';
import type { LeaseState, LeaseStatus, MachineStatus } from '../domain/lease.ts';
import type { ApiDeps } from './deps.ts';
import { isLeaseEnd } from '../contract/wait.ts';
import { domainErrorOf } from './temporal-failure.ts';
import { ownerKey, queryStatus, quickly } from './workflows.ts';

const stateKey = defineSearchAttributeKey('SlipwayState', SearchAttributeType.KEYWORD);
const bundleKey = defineSearchAttributeKey('SlipwayBundle', SearchAttributeType.KEYWORD);
const defaultLimit = 100;
/** How many workflows are asked at the same time. */
const atOnce = 16;

/** Those that a closed one can be in; in any other it only looks so, because it was terminated there. */
const lastStates: ReadonlySet<string> = new Set(['all', ...leaseEndStates, ...machineStates.filter(isOver)]);

/** Of the runs of a workflow that continued as new only the last one counts. */
const queryFor = (type: string, which: string, owner?: string): string =>
  `WorkflowType = "${type}" AND ` +
  (lastStates.has(which) ? 'ExecutionStatus != "ContinuedAsNew"' : 'ExecutionStatus = "Running"') +
  (which === 'open' || which === 'all' ? '' : ` AND SlipwayState = "${which}"`) +
  // Of letters that need no quoting: its pattern was checked at the door.
  (owner === undefined ? '' : ` AND SlipwayOwner = "${owner}"`);

async function found(deps: ApiDeps, query: string, limit: number): Promise<readonly WorkflowExecutionInfo[]> {
  return quickly(deps.client, async () => {
    const rows: WorkflowExecutionInfo[] = [];
    for await (const row of deps.client.workflow.list({ query, pageSize: Math.min(limit, 1000) })) {
      rows.push(row);
      if (rows.length >= limit) break;
    }
    return rows;
  });
}

async function mapped<T, R>(items: readonly T[], map: (item: T) => Promise<R>): Promise<readonly R[]> {
  const results: R[] = [];
  let next = 0;
  const work = async (): Promise<void> => {
    for (let n = next++; n < items.length; n = next++) results[n] = await map(items[n] as T);
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, items.length) }, work));
  return results;
}

/** Newest first. Who is found is asked itself while it is open, because the index may lag. */
export async function listLeases(
  deps: ApiDeps,
  {
    state = 'open',
    owner,
    limit = defaultLimit,
  }: { readonly state?: string | undefined; readonly owner?: string | undefined; readonly limit?: number | undefined },
): Promise<readonly LeaseListing[]> {
  const rows = await found(deps, queryFor(workflowType.lease, state, owner), limit);
  return mapped(rows, async (row) => {
    const leaseId = row.workflowId.slice(leaseWorkflowId('').length);
    if (row.status.name !== 'RUNNING') return listingOfClosed(leaseId, row);
    // One that cannot be asked now (no worker, or refused at its door) is listed all the same.
    const status = await queryStatus<LeaseStatus>(deps.client, row.workflowId).catch(() => undefined);
    return status ? listingOf(leaseId, status) : listingOfClosed(leaseId, row);
  });
}

function listingOf(leaseId: string, status: LeaseStatus): LeaseListing {
  const { requested, expires, ended } = status.times;
  const last = status.attempts.at(-1);
  return {
    leaseId,
    state: status.state,
    bundle: status.bundle.name,
    ...(last && last.phase !== 'gone' ? { machineId: last.machineId } : {}),
    requested,
    ...(expires === undefined ? {} : { expires }),
    ...(ended === undefined ? {} : { ended }),
    ...(status.owner === undefined ? {} : { owner: status.owner }),
    running: status.tasks.filter((task) => task.state === 'running' || task.state === 'pending').length,
    tasks: status.tasks.length,
  };
}

function listingOfClosed(leaseId: string, row: WorkflowExecutionInfo): LeaseListing {
  const said = row.typedSearchAttributes.get(stateKey);
  const known = leaseStates.find((state) => state === said);
  const open = row.status.name === 'RUNNING';
  const state: LeaseState = known !== undefined && (open || isLeaseEnd(known)) ? known : open ? 'acquiring' : 'failed';
  const bundle = row.typedSearchAttributes.get(bundleKey);
  const owner = row.typedSearchAttributes.get(ownerKey);
  return {
    leaseId,
    state,
    ...(bundle === undefined ? {} : { bundle }),
    requested: row.startTime.toISOString(),
    ...(owner === undefined ? {} : { owner }),
    ...(row.closeTime ? { ended: row.closeTime.toISOString() } : {}),
  };
}

export async function listMachines(
  deps: ApiDeps,
  {
    state = 'open',
    limit = defaultLimit,
  }: { readonly state?: string | undefined; readonly limit?: number | undefined },
): Promise<readonly MachineListing[]> {
  const rows = await found(deps, queryFor(workflowType.machine, state), limit);
  const machines = await mapped(rows, (row) =>
    // One that cannot be asked (no machine of ours, in spite of its type) is left out.
    queryStatus<MachineStatus>(deps.client, row.workflowId).catch((error: unknown) => {
      if (domainErrorOf(error)?.type === 'ProviderUnavailable') throw error;
      return undefined;
    }),
  );
  return machines.flatMap((machine) => (machine === undefined ? [] : [machineListingOf(machine)]));
}

const machineListingOf = ({
  machineId,
  leaseId,
  provider,
  phase,
  since,
  deadline,
  access,
}: MachineStatus): MachineListing => ({
  machineId,
  leaseId,
  provider,
  phase,
  since,
  ...(deadline === undefined ? {} : { deadline }),
  ...(access ? { address: `${access.address}:${access.port}` } : {}),
});
