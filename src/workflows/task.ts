import {
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  getExternalWorkflowHandle,
  isCancellation,
  setCurrentDetails,
  setHandler,
  sleep,
  workflowInfo,
} from '@temporalio/workflow';
import { z } from 'zod';
import type { GuestRef, TaskRef } from '../activities/activities.ts';
import { leaseSignals, queries, taskSignals } from '../contract/messages.ts';
import type { TaskStatus } from '../domain/lease.ts';
import { defaultGraceMs, type OutputAdvanced, type TaskResult, type TaskSpec } from '../domain/task.ts';
import type { Tuning } from '../domain/tuning.ts';
import { taskDetails } from './details.ts';
import { mistakesOf, orEmpty, refuseTheRest } from './door.ts';
import { reasonOf } from './failures.ts';
import { checkedTask } from './inputs.ts';
import { follower, killer, own } from './proxies.ts';

export interface TaskInput {
  readonly leaseId: string;
  readonly taskId: string;
  readonly spec: TaskSpec;
  readonly guest: GuestRef;
  readonly digest: string;
  readonly holder: string;
  readonly tuning: Tuning;
  readonly carried?: TaskLife;
}

interface TaskLife {
  readonly startedMs: number;
  readonly output: OutputAdvanced;
  /** What was asked: `cancel` and `timedOut` stop the command, `lost` stops waiting for a guest that is no more. */
  readonly asked?: 'cancel' | 'timedOut' | 'lost';
  /** The kill was carried out in an earlier run. */
  readonly killed?: boolean;
}

const advancedStream = z.strictObject({ bytes: z.number(), tail: z.string().max(8192) });
const advancedBody = z.strictObject({ stdout: advancedStream, stderr: advancedStream });
const cancelBody = z.strictObject({ reason: z.string().exactOptional(), lost: z.boolean().exactOptional() });

const cancelSignal = defineSignal<[unknown?]>(taskSignals.cancel);
const advancedSignal = defineSignal<[unknown?]>(taskSignals.outputAdvanced);
/** Beyond the wrapper's own limit in the guest: it keeps the time, this only backs it up. */
const limitSlackMs = 10_000;
/** A chatty task continues as new long before the server's bound of 10,000 signals a run. */
const eventBound = 4_000;

/** One tracked piece of work on a guest: launched once, followed in legs until it has ended or nobody can know. */
export async function task(raw: TaskInput): Promise<TaskResult> {
  const input = checkedTask(raw);
  let life: TaskLife = input.carried ?? {
    startedMs: Date.now(),
    output: { stdout: { bytes: 0, tail: '' }, stderr: { bytes: 0, tail: '' } },
  };
  let news = 0;
  let result: TaskResult | undefined;
  const refused: string[] = [];
  const change = (next: Partial<TaskLife>): void => {
    life = { ...life, ...next };
    news += 1;
    setCurrentDetails(taskDetails(status()));
  };
  const status = (): TaskStatus => ({
    taskId: input.taskId,
    leaseId: input.leaseId,
    state: result?.state ?? 'running',
    command: input.spec.command,
    startedAt: new Date(life.startedMs).toISOString(),
    ...life.output,
    ...(result ? { result } : {}),
  });
  const ask = (asked: NonNullable<TaskLife['asked']>): void => {
    if (life.asked !== 'lost' && (life.asked === undefined || asked === 'lost')) change({ asked });
  };
  setHandler(cancelSignal, (body) => {
    const mistakes = mistakesOf(cancelBody, orEmpty(body));
    if (mistakes.length > 0) refused.push(`signal cancel: ${mistakes.join('; ')}`);
    else ask(cancelBody.parse(orEmpty(body)).lost ? 'lost' : 'cancel');
  });
  setHandler(advancedSignal, (body) => {
    const parsed = advancedBody.safeParse(body);
    if (parsed.success) change({ output: parsed.data });
    else refused.push('signal outputAdvanced: not readable');
  });
  setHandler(defineQuery<TaskStatus>(queries.status), status);
  setHandler(defineQuery<OutputAdvanced>(queries.output), () => life.output);
  refuseTheRest(Object.values(taskSignals).join(', '), (text) => refused.push(text));
  void CancellationScope.current().cancelRequested.catch(() => ask('cancel'));
  setCurrentDetails(taskDetails(status()));

  const ref: TaskRef = {
    ...input.guest,
    leaseId: input.leaseId,
    taskId: input.taskId,
    spec: input.spec,
    digest: input.digest,
  };
  const graceMs = input.spec.graceMs ?? defaultGraceMs;
  const long = (): boolean =>
    news > 0 &&
    (workflowInfo().continueAsNewSuggested ||
      workflowInfo().historyLength >= Math.min(input.tuning.continueEvery ?? Infinity, eventBound));

  /** One leg: true when the task should go on in a new leg. */
  async function leg(): Promise<boolean> {
    const scope = new CancellationScope({ cancellable: true });
    const state = { over: false };
    let lost: string | undefined;
    const following = scope
      .run(() =>
        follower(input.tuning.legMs, `run and follow ${input.taskId}`).followTask({
          ...ref,
          legMs: input.tuning.legMs,
          startedAtMs: life.startedMs,
        }),
      )
      .then(({ ended, output = life.output }) => {
        result = ended;
        life = { ...life, output };
      })
      .catch((error: unknown) => {
        if (!scope.consideredCancelled)
          lost = reasonOf(error, { type: 'GuestLost', message: 'the guest is out of reach.' }).message;
      })
      .finally(() => (state.over = true));
    const limit = keepLimit(scope);
    let killing: Promise<void> | undefined;
    while (!state.over && life.asked !== 'lost' && !long()) {
      const { asked } = life;
      if ((asked === 'cancel' || asked === 'timedOut') && !life.killed) killing ??= scope.run(() => kill(asked));
      // Not at each advance: a woken loop makes promises, and those are what a burst of signals costs.
      await condition(() => state.over || life.asked !== asked || long());
    }
    scope.cancel();
    await Promise.all([following, limit, killing]);
    if (result) return false;
    if (life.asked === 'lost' || lost !== undefined) {
      result = await abandon(lost ?? `machine ${input.guest.machine.machineId} is lost`);
      return false;
    }
    return true;
  }

  async function kill(why: 'cancel' | 'timedOut'): Promise<void> {
    try {
      await killer(graceMs).killTask({ ...ref, why: why === 'cancel' ? 'cancelled' : why });
    } catch (error) {
      // The guest does not answer: the follow, or the machine's watch, will say whether it is lost.
      if (isCancellation(error)) return;
      refused.push(`kill: ${reasonOf(error, { type: 'GuestUnreachable', message: 'timed out.' }).message}`);
    }
    life = { ...life, killed: true };
  }

  async function keepLimit(scope: CancellationScope): Promise<void> {
    const { limitMs } = input.spec;
    if (limitMs === undefined || life.asked) return;
    const atMs = life.startedMs + limitMs + graceMs + limitSlackMs;
    await scope
      .run(() => sleep(Math.max(1, atMs - Date.now()), { summary: 'the limit of the command' }))
      .then(
        () => ask('timedOut'),
        () => undefined,
      );
  }

  const abandon = (reason: string): Promise<TaskResult> =>
    own.abandonTask({
      leaseId: input.leaseId,
      taskId: input.taskId,
      spec: input.spec,
      digest: input.digest,
      reason,
      cancelled: life.asked === 'cancel',
      startedAtMs: life.startedMs,
    });

  return CancellationScope.nonCancellable(async () => {
    while (await leg()) {
      news += 1;
      if (long()) await continueAsNew<typeof task>({ ...input, carried: life });
    }
    if (!result) throw new Error('a task ended without a result');
    setCurrentDetails(taskDetails(status()));
    await getExternalWorkflowHandle(input.holder)
      .signal(leaseSignals.taskEnded, result)
      .catch(() => undefined); // The lease is gone: its result stands in the output store and as our own.
    return result;
  });
}
