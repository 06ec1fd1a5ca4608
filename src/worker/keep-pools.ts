import { WorkflowNotFoundError } from '@temporalio/common';
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import { birthOf } from '../activities/claims.ts';
import { accountsOf } from '../config/accounts.ts';
import { pooledPlan } from '../config/pooled-bundle.ts';
import type { Resolved } from '../config/bundle-resolve.ts';
import { placedInSettings } from '../config/settings-places.ts';
import type { Settings } from '../config/settings.ts';
import { poolSignals, taskQueue, workflowType } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { poolNameOf, poolWorkflowId } from '../domain/ids.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import { mostOfPool, targetsAbove } from '../domain/pool-quota.ts';
import type { PoolDeclaration, PoolSettings } from '../domain/pool.ts';
import { canonical } from '../domain/same.ts';
import type { Tuning } from '../domain/tuning.ts';

/** Looking costs a few `stat`s of the settings and of each pool's bundle. */
const lookEveryMs = 2_000;
/** Also when nothing changed: a pool may have been terminated, or be left from a time when no worker ran. */
const certainEveryMs = 60_000;

/** A warm lease is ready in less; to make a machine takes longer by far, and costs the computer that serves the lease. */
const refillAfterMs = 250;

export interface PoolKeeping {
  readonly client: Client;
  /** As it stands now. */
  readonly settings: () => Promise<Settings>;
  /** False while pools are none of this stack's business. */
  readonly isWanted: () => Promise<boolean>;
  /** @param holder for whose open time the bytes of the bundle are kept */
  readonly resolve: (request: LeaseRequest, holder: string) => Promise<Resolved>;
  readonly tuning: Tuning;
  readonly logger: Logger;
  readonly queue?: string;
  readonly everyMs?: number;
  readonly certainEveryMs?: number;
}

/**
 * Tells the pools what `slipway.yaml` and their bundles say: starts, changes and retracts them. Any worker may do so, and
 * all of them twice: a declaration that says nothing new changes nothing.
 */
export function keepPools(keeping: PoolKeeping): { readonly stop: () => void } {
  const { client, logger, queue = taskQueue } = keeping;
  const told = new Map<string, string>();
  let certainAtMs = 0;
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  const declare = async (name: string, settings: PoolSettings, all: Settings, certain: boolean): Promise<void> => {
    const declared = await declarationOf(keeping, name, settings, all);
    const said = canonical(declared);
    if (declared.refused && said !== told.get(name)) logger.warn(declared.reason?.message);
    const stands = told.get(name) === said && !(certain && (await birthOf(client.workflow, name)) === undefined);
    if (stands) return;
    await client.workflow.signalWithStart(workflowType.pool, {
      workflowId: poolWorkflowId(name),
      taskQueue: queue,
      workflowIdReusePolicy: 'ALLOW_DUPLICATE',
      args: [{ name }],
      signal: poolSignals.declare,
      signalArgs: [declared],
      staticSummary: `pool ${name} of bundle ${settings.bundle}`,
    });
    told.set(name, said);
  };
  const retract = async (name: string): Promise<void> => {
    await client.workflow
      .getHandle(poolWorkflowId(name))
      .signal(poolSignals.retract, { why: 'it is not declared in slipway.yaml any more' })
      .catch(unlessGone);
    told.set(name, retracted);
  };

  const look = async (): Promise<void> => {
    try {
      if (await keeping.isWanted()) {
        const certain = Date.now() - certainAtMs >= (keeping.certainEveryMs ?? certainEveryMs);
        const all = await keeping.settings();
        const { pools } = all;
        for (const [name, settings] of Object.entries(pools)) await declare(name, settings, all, certain);
        for (const name of certain ? await openPools(client, queue) : told.keys()) {
          if (!Object.hasOwn(pools, name) && told.get(name) !== retracted) await retract(name);
        }
        if (certain) certainAtMs = Date.now();
      }
    } catch (error) {
      if (!stopped) logger.error({ error }, 'the pools could not be told what is declared');
    }
    if (!stopped) timer = setTimeout(() => void look(), keeping.everyMs ?? lookEveryMs);
  };
  void look();
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
    },
  };
}

const retracted = 'retracted';

/** A bundle that cannot be used now does not take the pool away, nor does a target that cannot be: it says why. */
async function declarationOf(
  { resolve, tuning }: PoolKeeping,
  name: string,
  settings: PoolSettings,
  { file, providers }: Settings,
): Promise<PoolDeclaration> {
  try {
    const resolved = await resolve({ leaseId: name, bundle: settings.bundle }, poolWorkflowId(name));
    const plan = pooledPlan(name, resolved, {});
    const most = mostOfPool(plan, accountsOf(providers));
    const stands = { settings, plan, ...(most ? { most } : {}), refillAfterMs, tuning };
    const found = targetsAbove(settings, most).map(({ path, message }) => ({
      path: ['pools', name, ...path],
      message,
    }));
    if (found.length === 0) return stands;
    const message = `${(await placedInSettings(file, found)).join('; ')}. Try: a smaller target, or a larger quota.`;
    const { schedule: _, ...rest } = settings;
    // For a pool that is new; any other keeps what it has.
    return { ...stands, settings: { ...rest, target: 0 }, refused: true, reason: { type: 'InvalidRequest', message } };
  } catch (error) {
    if (!(error instanceof DomainError) || error.type !== 'InvalidRequest') throw error;
    return { settings, reason: { type: error.type, message: error.message }, refillAfterMs, tuning };
  }
}

async function openPools(client: Client, queue: string): Promise<readonly string[]> {
  const names: string[] = [];
  const query = `WorkflowType = '${workflowType.pool}' AND ExecutionStatus = 'Running' AND TaskQueue = '${queue}'`;
  for await (const { workflowId } of client.workflow.list({ query })) {
    names.push(poolNameOf(workflowId) ?? '');
  }
  return names;
}

function unlessGone(error: unknown): void {
  if (!(error instanceof WorkflowNotFoundError)) throw error;
}
