import type { WorkflowClient } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { DomainError } from '../domain/failure.ts';
import { poolNameOf } from '../domain/ids.ts';
import { mismatchEvent } from '../guest/mismatch-event.ts';
import type { MachineState, MachineView } from '../providers/provider.ts';
import type { Activities, ClosedChild, WatchNews } from './activities.ts';
import { beating, pause } from './beat.ts';
import { birthOf } from './claims.ts';
import { guestOf, providerOf, type Deps } from './deps.ts';
import { standing } from './until-running.ts';

/** Heartbeats of a watch only keep it; there are thousands, so they are rare. */
const watchBeatMs = 20_000;

export function watchActivities(deps: Deps): Pick<Activities, 'watchMachine' | 'watchChildren'> {
  return {
    watchMachine: (input) =>
      beating(
        async (signal) => {
          const done = new AbortController();
          const both = AbortSignal.any([signal, done.signal]);
          try {
            const news = await Promise.race([
              every(deps.times.providerEveryMs, both, gone(deps, input)),
              ...(input.off ? [] : [every(deps.times.guestEveryMs, both, silence(deps, input))]),
              every(deps.times.leaseEveryMs, both, async (): Promise<WatchNews | undefined> => {
                const wanted = await isWanted(deps.client.workflow, input);
                return wanted ? undefined : { type: 'leaseClosed' };
              }),
            ]);
            signal.throwIfAborted();
            if (!news) throw new DomainError('Internal', 'A watch ended without news.');
            return news;
          } finally {
            done.abort();
          }
        },
        { everyMs: watchBeatMs, patient: true },
      ),

    watchChildren: ({ workflowIds }) =>
      beating(
        async (signal) => {
          const closed = await every(deps.times.leaseEveryMs, signal, async (): Promise<ClosedChild[] | undefined> => {
            const statuses = await Promise.all(
              workflowIds.map(async (workflowId) => ({ workflowId, status: await statusOf(deps, workflowId) })),
            );
            const over = statuses.filter(({ status }) => status !== 'RUNNING');
            return over.length > 0 ? over : undefined;
          });
          signal.throwIfAborted();
          return closed ?? [];
        },
        { everyMs: watchBeatMs, patient: true },
      ),
  };
}

/** Looks at each interval until there are news; a look that fails says nothing and is repeated. */
export async function every<T>(
  ms: number,
  signal: AbortSignal,
  look: (signal: AbortSignal) => Promise<T | undefined>,
  firstMs = ms,
): Promise<T | undefined> {
  for (let first = true; !signal.aborted; first = false) {
    await pause(first ? firstMs : ms, signal);
    if (signal.aborted) return undefined;
    const news = await look(signal).catch((error: unknown) => {
      if (error instanceof DomainError) return undefined;
      throw error;
    });
    if (news !== undefined) return news;
  }
  return undefined;
}

function gone(
  deps: Deps,
  { machine, off }: Parameters<Activities['watchMachine']>[0],
): (signal: AbortSignal) => Promise<WatchNews | undefined> {
  const provider = providerOf(deps, machine.provider);
  let looks = 0;
  return async (signal) => {
    const ref = machine.ref ?? (await provider.findByKey(machine.key, signal));
    const view: MachineView = ref ? await provider.get(ref, signal) : { state: 'absent' };
    const { state } = view;
    // One wrong answer of a provider, or one look during a restart, must not end a lease: two in a row count.
    const isOver = over.has(state) && !(off && state === 'stopped');
    looks = isOver ? looks + 1 : 0;
    if (looks < 2) return undefined;
    return { type: 'lost', reason: { type: 'GuestLost', message: `${standing(machine, view)}.` } };
  };
}

/** A machine in one of these runs nobody's job any more. */
const over = new Set<MachineState>(['absent', 'destroying', 'stopped']);

function silence(
  deps: Deps,
  input: Parameters<Activities['watchMachine']>[0],
): (signal: AbortSignal) => Promise<WatchNews | undefined> {
  let heardMs = Date.now();
  return async (signal) => {
    try {
      await guestOf(deps, input).probe(AbortSignal.any([signal, AbortSignal.timeout(20_000)]));
      heardMs = Date.now();
      return undefined;
    } catch (error) {
      const silentMs = Date.now() - heardMs;
      const final = error instanceof DomainError && error.type === 'HostKeyMismatch';
      if (signal.aborted || (silentMs < deps.times.guestLostAfterMs && !final)) return undefined;
      const last = error instanceof Error ? error.message : String(error);
      if (final) mismatchEvent(deps.logger, { machine: input.machine.machineId, error: last });
      const message = `Machine ${input.machine.machineId} was out of reach for ${Math.round(silentMs / 1000)} s: ${last}`;
      return { type: 'lost', reason: { type: final ? 'HostKeyMismatch' : 'GuestLost', message } };
    }
  };
}

/** Whether its holder is open: its lease, or the very pool that started it. Another of that name knows nothing of it. */
export async function isWanted(
  workflows: WorkflowClient,
  { holder, machine }: Pick<Parameters<Activities['watchMachine']>[0], 'holder' | 'machine'>,
): Promise<boolean> {
  const pool = poolNameOf(holder);
  if (pool !== undefined) return (await birthOf(workflows, pool)) === machine.birth;
  return (await statusIn(workflows, holder)) === 'RUNNING';
}

/** Of the latest run under this id: `RUNNING` over any number of continue-as-new. */
export const statusOf = (deps: Deps, workflowId: string): Promise<string> => statusIn(deps.client.workflow, workflowId);

export async function statusIn(workflows: WorkflowClient, workflowId: string): Promise<string> {
  try {
    return (await workflows.getHandle(workflowId).describe()).status.name;
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return 'NOT_FOUND';
    throw new DomainError('ProviderUnavailable', `Temporal does not answer about ${workflowId}.`, { cause: error });
  }
}
