import { utf8ToBytes } from '@noble/hashes/utils.js';
import {
  allHandlersFinished,
  type ApplicationFailure,
  CancellationScope,
  condition,
  currentUpdateInfo,
  defineQuery,
  defineSignal,
  defineUpdate,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { z } from 'zod';
import type { LeaseGuest } from '../activities/activities.ts';
import { leaseGuest } from './lease-guest.ts';
import { machineReport, poolGrant, taskResult } from '../contract/reports.ts';
import {
  extendBody,
  leaseRequest,
  markReadyBody,
  reasonBody,
  requestLimitBytes,
  runTaskBody,
} from '../contract/lease.ts';
import { leaseSignals, leaseUpdates, queries } from '../contract/messages.ts';
import { idRule, leaseWorkflowId } from '../domain/ids.ts';
import type { LeaseRequest, LeaseState, LeaseStatus, TaskSummary } from '../domain/lease.ts';
import { applyLease, bornLease, taskLimit, type LeaseEvent, type LeaseLife } from '../domain/lease-life.ts';
import { leaseDeadlineMs, leaseStateOf, leaseStatusOf, taskSummary } from '../domain/lease-next.ts';
import { leaseGraceMs } from '../domain/machine.ts';
import type { MachineReport } from '../domain/machine-report.ts';
import { isForeign, takenId } from '../domain/owner.ts';
import type { Grant } from '../domain/pool.ts';
import { digestOf, sameBody } from '../domain/same.ts';
import type { TaskResult } from '../domain/task.ts';
import { defaultTuning, type Tuning } from '../domain/tuning.ts';
import { attributesOf } from '../contract/attributes.ts';
import { createAlarm } from './alarm.ts';
import { leaseDetails } from './details.ts';
import { checked, invalid, mistakesOf, orEmpty, refuseTheRest } from './door.ts';
import { failureOf } from './failures.ts';
import { isListed, ownerHere, startedByThisUpdate } from './started-by.ts';

/** What a lease carries to its next run. A caller cannot send it: a first run refuses it as unknown keys. */
export interface CarriedLease {
  readonly request: LeaseRequest;
  readonly carried: { readonly life: LeaseLife; readonly tuning: Tuning };
}

const openBody = z.looseObject({ request: z.unknown(), owner: z.string().exactOptional() });

/** `opened`: by this very call. */
type OpenedLease = LeaseStatus & { readonly opened?: true };

const update = {
  open: defineUpdate<OpenedLease, [unknown]>(leaseUpdates.open),
  waitReady: defineUpdate<LeaseStatus, [unknown?]>(leaseUpdates.waitReady),
  runTask: defineUpdate<TaskSummary, [unknown]>(leaseUpdates.runTask),
  extend: defineUpdate<LeaseStatus, [unknown]>(leaseUpdates.extend),
  release: defineUpdate<LeaseStatus, [unknown?]>(leaseUpdates.release),
};

/** What is wrong with what the lease was started with; every mistake at once. */
function mistakesOfInput(input: unknown): readonly string[] {
  const size = utf8ToBytes(JSON.stringify(input ?? null)).length;
  if (size > requestLimitBytes) {
    return [
      `the request has ${size} bytes, more than ${requestLimitBytes}: put large input into a file (files: [{blob, sha256, path}])`,
    ];
  }
  const mistakes = mistakesOf(leaseRequest, input);
  if (mistakes.length > 0) return mistakes;
  const { leaseId } = leaseRequest.parse(input);
  const { workflowId } = workflowInfo();
  return workflowId === leaseWorkflowId(leaseId)
    ? []
    : [`the workflow id is ${workflowId}, it must be ${leaseWorkflowId(leaseId)} (ids: ${idRule})`];
}

export type LeaseDesk = ReturnType<typeof openLeaseDesk>;

/** The lease's state with its handlers: they check and enqueue; the one main loop applies. */
export function openLeaseDesk(input: unknown) {
  const before = workflowInfo().continuedFromExecutionRunId === undefined ? undefined : (input as CarriedLease);
  const mistakes = before ? [] : mistakesOfInput(input);
  const request = before?.request ?? (input as LeaseRequest);
  let tuning = before?.carried.tuning ?? defaultTuning;
  const owner = ownerHere();
  let life: LeaseLife = before
    ? { owner, ...before.carried.life }
    : bornLease(mistakes.length > 0 ? { leaseId: '', bundle: '' } : request, Date.now(), owner);
  let inbox: LeaseEvent[] = [];
  let applied = 0;
  let continuing = false;
  let markReady: unknown;
  let shown: LeaseState | undefined = before ? leaseStateOf(life) : isListed(request) ? 'acquiring' : undefined;

  const enqueue = (event: LeaseEvent): void => void inbox.push(event);
  const status = (): LeaseStatus => leaseStatusOf(life);
  const refuseInvalid = (): void => {
    if (mistakes.length > 0) throw invalid(`Lease request: ${mistakes.join('; ')}`, mistakes);
  };
  const refuseEnded = (what: string): void => {
    refuseInvalid();
    if (life.ending || inbox.some((event) => event.type === 'end')) {
      throw failureOf({
        type: 'Gone',
        message: `Lease ${request.leaseId} is ${leaseStateOf(life)}: it takes no ${what} any more.`,
      });
    }
  };
  /** For handlers: Temporal's cancel of the lease is its news, not theirs. */
  const becomes = (is: () => boolean): Promise<void> => CancellationScope.nonCancellable(() => condition(is));
  const parse = <T>(schema: z.ZodType<T>, what: string, body: unknown): T => checked(schema, orEmpty(body), what);

  setHandler(update.open, (body) => {
    const { request: asked, owner: asking } = parse(openBody, 'open', body);
    if (isForeign(owner, asking)) throw failureOf(takenId(request.leaseId));
    refuseInvalid();
    if (!sameBody(asked, request)) {
      throw failureOf({
        type: 'IdConflict',
        message: `Lease ${request.leaseId} exists with another body. Try: another id.`,
      });
    }
    return startedByThisUpdate() ? { ...status(), opened: true } : status();
  });
  setHandler(update.waitReady, async () => {
    refuseInvalid();
    await becomes(() => continuing || leaseStateOf(life) !== 'acquiring');
    return status();
  });
  setHandler(
    update.runTask,
    async (body) => {
      const { taskId, spec } = parse(runTaskBody, 'runTask', body);
      enqueue({ type: 'taskAsked', taskId, spec });
      await becomes(() => life.tasks.some((task) => task.taskId === taskId) || life.ending !== undefined);
      const accepted = life.tasks.find((task) => task.taskId === taskId);
      if (!accepted)
        throw failureOf({ type: 'Gone', message: `Lease ${request.leaseId} has ended: it takes no task any more.` });
      return taskSummary(accepted);
    },
    {
      validator: (body) => {
        const { taskId, spec } = parse(runTaskBody, 'runTask', body);
        const known = life.tasks.find((task) => task.taskId === taskId);
        if (known && known.digest === digestOf(spec)) return;
        if (known) {
          const message = `Task ${request.leaseId}/${taskId} exists with another body. Try: another id.`;
          throw failureOf({ type: 'IdConflict', message });
        }
        refuseEnded('task');
        if (life.tasks.length >= taskLimit) {
          throw invalid(`Lease ${request.leaseId} has its ${taskLimit} tasks, the most it takes. Try: another lease.`);
        }
      },
    },
  );
  /** Counts from what was asked last, which the main loop may not have applied yet. */
  const extendedTo = (body: unknown): number => {
    const { byMs, untilMs } = parse(extendBody, 'extend', body);
    const asked = inbox.flatMap((event) => (event.type === 'extended' ? [event.untilMs] : []));
    return untilMs ?? Math.max(life.expiresMs ?? 0, ...asked) + (byMs ?? 0);
  };
  setHandler(
    update.extend,
    async (body) => {
      const untilMs = extendedTo(body);
      const updateId = currentUpdateInfo()?.id;
      if (updateId !== undefined && life.extendedBy.includes(updateId)) return status();
      enqueue({ type: 'extended', untilMs, ...(updateId === undefined ? {} : { updateId }) });
      await becomes(() => (life.machine?.untilMs ?? 0) >= untilMs + leaseGraceMs(tuning) || life.ending !== undefined);
      refuseEnded('extension');
      return status();
    },
    {
      validator: (body) => {
        const until = extendedTo(body);
        // Sent again, to a later run: it was granted.
        if (life.extendedBy.includes(currentUpdateInfo()?.id ?? '')) return;
        refuseEnded('extension');
        if (life.readyMs === undefined || life.expiresMs === undefined) {
          throw invalid(`Lease ${request.leaseId} is not ready yet: its time counts from ready.`);
        }
        const latest = life.readyMs + (life.plan?.maxTtlMs ?? 0);
        if (until > latest) {
          const most = new Date(latest).toISOString();
          throw invalid(
            `Lease ${request.leaseId} may be extended to ${most} at most (maxTtlMs of bundle ${request.bundle}).`,
          );
        }
        if (until <= life.expiresMs) {
          throw invalid(`Lease ${request.leaseId} already lasts until ${new Date(life.expiresMs).toISOString()}.`);
        }
      },
    },
  );
  setHandler(update.release, async (body) => {
    refuseInvalid();
    parse(reasonBody, 'release', body);
    if (!life.ending) enqueue({ type: 'end', state: 'released' });
    await becomes(() => life.ending !== undefined);
    return status();
  });

  const onSignal = (name: string, schema: z.ZodType, take: (body: unknown) => void): void =>
    setHandler(defineSignal<[unknown?]>(name), (body) => {
      const wrong = mistakesOf(schema, orEmpty(body));
      if (wrong.length > 0) enqueue({ type: 'refused', text: `signal ${name}: ${wrong.join('; ')}` });
      else take(orEmpty(body));
    });
  onSignal(leaseSignals.cancel, reasonBody, () => enqueue({ type: 'end', state: 'cancelled' }));
  onSignal(leaseSignals.markReady, markReadyBody, (body) => (markReady = body));
  onSignal(leaseSignals.machineReported, machineReport, (body) =>
    enqueue({ type: 'machineReported', report: body as MachineReport }),
  );
  onSignal(leaseSignals.poolGranted, poolGrant, (body) => {
    const { attempt, ...answer } = body as Grant;
    enqueue({ type: 'claimAnswered', attempt, answer });
  });
  onSignal(leaseSignals.taskEnded, taskResult, (body) => enqueue({ type: 'taskEnded', result: body as TaskResult }));
  setHandler(defineQuery<LeaseStatus>(queries.status), status);
  setHandler(defineQuery<LeaseGuest>(queries.guest), () => leaseGuest(life));
  setHandler(defineQuery<readonly TaskSummary[]>(queries.tasks), () => life.tasks.map(taskSummary));
  refuseTheRest([...Object.values(leaseUpdates), leaseSignals.cancel, leaseSignals.markReady].join(', '), (text) =>
    enqueue({ type: 'refused', text }),
  );
  void CancellationScope.current().cancelRequested.catch(() =>
    enqueue({ type: 'end', state: 'cancelled', byTemporal: true }),
  );

  const apply = (event: LeaseEvent): void => {
    life = applyLease(life, event, Date.now());
    applied += 1;
    const state = leaseStateOf(life);
    setCurrentDetails(leaseDetails(status()));
    if (state === shown) return;
    const named = shown === undefined ? { bundle: request.bundle, lease: request.leaseId } : {};
    shown = state;
    upsertSearchAttributes(attributesOf({ state, ...named }));
  };

  const heard = (): boolean => inbox.length > 0 || markReady !== undefined;

  const alarm = createAlarm('the next deadline of the lease', () => enqueue({ type: 'deadline' }));
  const arm = (): void => alarm.set(leaseDeadlineMs(life));

  return {
    mistakes,
    request,
    get life(): LeaseLife {
      return life;
    },
    get tuning(): Tuning {
      return tuning;
    },
    tune: (given: Tuning): void => void (tuning = given),
    apply,
    enqueue,
    takeMarkReady(): unknown {
      const body = markReady;
      markReady = undefined;
      return body;
    },
    drain(): void {
      const events = inbox;
      inbox = [];
      for (const event of events) apply(event);
    },
    async news(): Promise<void> {
      arm();
      await condition(heard);
    },
    /** Worth a new run, and free for it: a Temporal cancel belongs to the run that got it. */
    long: (): boolean =>
      applied > 0 &&
      !life.ending?.byTemporal &&
      (workflowInfo().continueAsNewSuggested || workflowInfo().historyLength >= (tuning.continueEvery ?? Infinity)),
    /** True when the run may continue: waiters answered, nothing new arrived meanwhile. */
    async settled(): Promise<boolean> {
      arm();
      continuing = true;
      // News first: a handler may wait for what only the main loop can do.
      await condition(() => heard() || allHandlersFinished());
      continuing = false;
      return !heard();
    },
    /** Every caller has its answer. */
    answered: (): Promise<void> => condition(allHandlersFinished),
    carry: (): CarriedLease => ({ request, carried: { life, tuning } }),
    dropTimer: alarm.drop,
    status,
    failure: (message: string): ApplicationFailure => invalid(message, mistakes),
  };
}
