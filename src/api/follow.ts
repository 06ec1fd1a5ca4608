import { setTimeout as pause } from 'node:timers/promises';
import { workflowType } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { taskKey, taskWorkflowId } from '../domain/ids.ts';
import type { Stream, TaskResult } from '../domain/task.ts';
import type { OutputChunk } from '../output/output-store.ts';
import type { ApiDeps } from './deps.ts';
import type { LeaseWaits } from './lease-waits.ts';
import { describeLease } from './lease-view.ts';
import { noTask, resultOf } from './tasks.ts';
import { describe } from './workflows.ts';

export type Followed =
  { readonly type: 'chunk'; readonly chunk: OutputChunk } | { readonly type: 'end'; readonly result: TaskResult };

interface FollowedTask {
  readonly leaseId: string;
  readonly taskId: string;
}

/** How often the lease is asked about a task whose output says no end: such a task was terminated, or never began. */
const verdictEveryMs = 5_000;
const pieceBytes = 262_144;

/**
 * The task's output from the offsets, live, and then its result. Waits for a task that is not there yet while its lease is
 * open; the generator throws NotFound when that has ended without it.
 * @throws DomainError NotFound when there is no such lease
 */
export async function followTask(
  deps: ApiDeps,
  waits: LeaseWaits,
  task: FollowedTask,
  from: Readonly<Record<Stream, number>>,
  leaving: AbortSignal,
): Promise<AsyncGenerator<Followed>> {
  // What is stored needs no workflow, so that it can be read however Temporal fares.
  const stored = await deps.outputs.stat(taskKey(task.leaseId, task.taskId));
  if (stored === undefined) await describeLease(deps.client, task.leaseId);
  return follow(deps, waits, task, from, leaving);
}

async function* follow(
  deps: ApiDeps,
  waits: LeaseWaits,
  task: FollowedTask,
  from: Readonly<Record<Stream, number>>,
  leaving: AbortSignal,
): AsyncGenerator<Followed> {
  const key = taskKey(task.leaseId, task.taskId);
  const offsets = { ...from };
  const over = new AbortController();
  const judged = new AbortController();
  const judging = verdictOf(deps, waits, task, AbortSignal.any([leaving, over.signal])).finally(() => judged.abort());
  judging.catch(() => undefined); // awaited below, when it is what ended the follow
  try {
    for await (const chunk of deps.outputs.follow(key, from, AbortSignal.any([leaving, judged.signal]))) {
      offsets[chunk.stream] = chunk.offset + chunk.bytes.length;
      yield { type: 'chunk', chunk };
    }
    if (leaving.aborted) return;
    const end = (await deps.outputs.stat(key))?.end;
    // The store's own end comes after its last byte; a verdict may have cut the follow short.
    if (judged.signal.aborted) yield* rest(deps, key, offsets);
    const result = end ?? (judged.signal.aborted ? await judging : undefined);
    if (result === undefined) throw new DomainError('Gone', `The output of task ${key} was removed.`);
    yield { type: 'end', result };
  } finally {
    over.abort();
  }
}

async function* rest(deps: ApiDeps, key: string, offsets: Record<Stream, number>): AsyncGenerator<Followed> {
  const stat = await deps.outputs.stat(key);
  for (const stream of ['stdout', 'stderr'] as const) {
    const end = stat?.[stream].keptBytes ?? 0;
    while (offsets[stream] < end) {
      const offset = offsets[stream];
      const bytes = await deps.outputs.read(key, stream, offset, Math.min(end, offset + pieceBytes));
      if (bytes.length === 0) break;
      offsets[stream] += bytes.length;
      yield { type: 'chunk', chunk: { stream, offset, bytes } };
    }
  }
}

/** Resolves when the store will never tell the task's end, with what the lease knows; rejects when nobody will. */
async function verdictOf(
  deps: ApiDeps,
  waits: LeaseWaits,
  task: FollowedTask,
  signal: AbortSignal,
): Promise<TaskResult> {
  const { leaseId, taskId } = task;
  const key = taskKey(leaseId, taskId);
  for (;;) {
    // Temporal may be away for a while: what is stored can be followed all the same.
    const ended = await waits.ended(leaseId, verdictEveryMs, signal).catch(() => false);
    const stat = signal.aborted ? undefined : await deps.outputs.stat(key);
    if (signal.aborted || stat?.end) await never(signal);
    const result = await resultOf(deps, leaseId, taskId).catch(() => undefined);
    // A lease that ends gives its tasks up after a while, as lost; one that still runs tells its own end yet.
    const isOver = (result !== undefined || ended) && (await workflowOver(deps, task));
    if (result && isOver) return result;
    if (ended && stat === undefined) throw noTask(leaseId, taskId);
    if (ended && isOver) {
      throw new DomainError('Gone', `Task ${key} was terminated: nobody knows how it ended.`);
    }
    // A lease that was terminated leaves its tasks running.
    if (ended) await pause(verdictEveryMs, undefined, { signal }).catch(() => undefined);
  }
}

const never = (signal: AbortSignal): Promise<never> =>
  new Promise((_resolve, reject) => {
    const leave = (): void => reject(new Error('left'));
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });

async function workflowOver(deps: ApiDeps, { leaseId, taskId }: FollowedTask): Promise<boolean> {
  try {
    const missing = (): DomainError => noTask(leaseId, taskId);
    const found = await describe(deps.client, taskWorkflowId(leaseId, taskId), workflowType.task, missing);
    return found.status.name !== 'RUNNING';
  } catch (error) {
    return error instanceof DomainError && error.type === 'NotFound';
  }
}
