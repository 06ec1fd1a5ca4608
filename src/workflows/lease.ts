import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  CancelledFailure,
  continueAsNew,
  getExternalWorkflowHandle,
  patched,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { machineSignals, taskSignals, workflowType } from '../contract/messages.ts';
import type { Reason } from '../domain/failure.ts';
import { machineWorkflowId, providerKey, taskWorkflowId } from '../domain/ids.ts';
import { isLastPlace } from '../domain/lease-attempts.ts';
import type { LeaseResult } from '../domain/lease.ts';
import { taintOfTasks, type LeaseTask } from '../domain/lease-task.ts';
import { leaseResultOf, nextLeaseAction, openTasks, type LeaseAction } from '../domain/lease-next.ts';
import type { MachineInput } from '../domain/machine.ts';
import type { TaskResult } from '../domain/task.ts';
import { attributesOf } from '../contract/attributes.ts';
import { abandonedChild, watchClosed } from './children.ts';
import { failureOf, reasonOf } from './failures.ts';
import { openClaims } from './lease-claims.ts';
import { openCollect } from './lease-collect.ts';
import { guestRefOf } from './lease-guest.ts';
import { openLeaseDesk, type LeaseDesk } from './lease-desk.ts';
import { tellEnded, tellReady } from './lease-notify.ts';
import type { machine, MachineEnd } from './machine.ts';
import { local, own } from './proxies.ts';
import type { task } from './task.ts';

/** A caller's claim on one ready machine, for a time. */
export async function lease(input: unknown): Promise<LeaseResult> {
  const desk = openLeaseDesk(input);
  return CancellationScope.nonCancellable(async () => {
    if (desk.mistakes.length > 0) {
      await desk.answered();
      throw desk.failure(`Lease request: ${desk.mistakes.join('; ')}`);
    }
    const watching = watchCarried(desk);
    const claims = openClaims(desk);
    const collect = openCollect(desk);
    for (;;) {
      desk.drain();
      claims.follow();
      collect.follow();
      await passOnMarkReady(desk);
      const action = nextLeaseAction(desk.life);
      if (action?.do === 'finish') break;
      if (action?.do === 'collect') collect.begin();
      else if (action) await perform(desk, claims, action);
      else if (desk.long() && claims.isQuiet() && collect.isQuiet() && (await desk.settled())) {
        watching.cancel();
        claims.stop();
        // Thrown: it must stand outside any try.
        await continueAsNew(desk.carry());
      } else await desk.news();
    }
    watching.cancel();
    claims.stop();
    desk.dropTimer();
    if (desk.life.sealed) await forgetSecrets(desk);
    desk.apply({ type: 'ended' });
    await desk.answered();
    const result = leaseResultOf(desk.life);
    await tellEnded(desk, result);
    // Its result cannot go along; the query `status` tells it.
    if (desk.life.ending?.byTemporal) throw new CancelledFailure('The lease was cancelled');
    if (result.state === 'failed') {
      throw failureOf(result.reason ?? { type: 'Internal', message: 'The lease failed' }, result);
    }
    return result;
  });
}

/** What became of the lease stands: that its sealed secrets are still there is told, and changes nothing. */
async function forgetSecrets(desk: LeaseDesk): Promise<void> {
  try {
    await own.forgetSecrets({ leaseId: desk.request.leaseId });
  } catch (error) {
    const { message } = reasonOf(error, { type: 'Internal', message: 'timed out.' });
    desk.apply({ type: 'refused', text: `sealed secrets could not be forgotten: ${message}` });
  }
}

async function perform(
  desk: LeaseDesk,
  claims: ReturnType<typeof openClaims>,
  action: Exclude<LeaseAction, { readonly do: 'collect' }>,
): Promise<void> {
  switch (action.do) {
    case 'resolve':
      return resolve(desk);
    case 'claim':
      return claims.ask(action.attempt, action.last);
    case 'withdraw':
      return claims.withdraw(action.attempt);
    case 'startMachine':
      return startMachine(desk, action.machineId, action.last);
    case 'startTask':
      return startTask(desk, action.task);
    case 'tellTask':
      desk.apply({ type: 'taskTold', taskId: action.taskId, what: action.what });
      return tell(
        taskWorkflowId(desk.request.leaseId, action.taskId),
        taskSignals.cancel,
        { lost: action.what === 'lost' },
        () => desk.enqueue({ type: 'taskClosed', taskId: action.taskId, message: 'its workflow is closed' }),
      );
    case 'releaseMachine':
      desk.apply({ type: 'releaseAsked' });
      return tellMachine(desk, action.machineId, machineSignals.release, releaseOf(desk));
    case 'releaseStray': {
      const { machineId } = action;
      desk.apply({ type: 'strayReleased', machineId });
      if (!patched('release-strays')) return;
      // One that has closed by the time is not ours to say anything of.
      return tell(
        machineWorkflowId(machineId),
        machineSignals.release,
        { leaseId: desk.request.leaseId },
        () => undefined,
      );
    }
    case 'extendMachine':
      desk.apply({ type: 'extensionTold', untilMs: action.untilMs });
      return tellMachine(desk, action.machineId, machineSignals.extend, { untilMs: action.untilMs });
    case 'tellReady':
      desk.apply({ type: 'readyTold' });
      return tellReady(desk);
    case 'finish':
  }
}

/** A pool's machine may serve another lease by the time, and is not given to one when what was done to it is unknown. */
function releaseOf({ life, request }: LeaseDesk): { readonly leaseId?: string; readonly taint?: string } {
  if (!life.machine?.pooled) return {};
  const taint = taintOfTasks(request.leaseId, life.tasks);
  return { leaseId: request.leaseId, ...(taint === undefined ? {} : { taint }) };
}

async function resolve(desk: LeaseDesk): Promise<void> {
  try {
    const { plan, tuning } = await local.resolveBundle({ request: desk.request });
    desk.tune(tuning);
    desk.apply({ type: 'resolved', plan });
  } catch (error) {
    const message = `Bundle ${desk.request.bundle} could not be resolved.`;
    desk.apply({ type: 'end', state: 'failed', reason: reasonOf(error, { type: 'InvalidRequest', message }) });
  }
}

async function startMachine(desk: LeaseDesk, machineId: string, last: boolean): Promise<void> {
  const { life, request } = desk;
  const { plan } = life;
  const provider = plan?.variants[life.variant];
  if (!plan || provider === undefined) {
    const message = `Bundle ${request.bundle} has no variant.`;
    return desk.apply({ type: 'end', state: 'failed', reason: { type: 'InvalidRequest', message } });
  }
  const birth = workflowInfo().firstExecutionRunId;
  const input: MachineInput = {
    machineId,
    leaseId: request.leaseId,
    holder: workflowInfo().workflowId,
    provider,
    variant: life.variant,
    birth,
    key: providerKey(machineId, birth),
    plan,
    ...(life.owner === undefined ? {} : { owner: life.owner }),
    ...(request.priority === undefined ? {} : { priority: request.priority }),
    ...(plan.quotas && isLastPlace(life) ? { patient: true } : {}),
    ttlMs: request.ttlMs ?? plan.ttlMs,
    ...(last && request.holdOnFailureMs !== undefined ? { holdOnFailureMs: request.holdOnFailureMs } : {}),
    tuning: desk.tuning,
  };
  desk.apply({ type: 'machineStarted', machineId, provider });
  const gone = (reason: Reason): void => desk.enqueue({ type: 'machineClosed', machineId, reason });
  const lost = (text: string): Reason => ({ type: 'GuestLost', message: `Machine ${machineId}: ${text}` });
  try {
    const handle = await startChild<typeof machine>(workflowType.machine, {
      ...abandonedChild,
      workflowId: machineWorkflowId(machineId),
      args: [input],
      staticSummary: `${plan.bundle.name} on ${provider} for lease ${request.leaseId}`,
      // By it the sweep tells this life from another that had the id.
      memo: { key: input.key },
      typedSearchAttributes: attributesOf({
        state: plan.quotas?.[life.variant] ? 'queued' : 'provisioning',
        bundle: plan.bundle.name,
        provider,
        lease: request.leaseId,
        ...(life.owner === undefined ? {} : { owner: life.owner }),
      }),
    });
    void handle.result().then(
      (end: MachineEnd) => gone(end.reason ?? lost('its life is over')),
      (error: unknown) => gone(lost(`its workflow ended without a word (${reasonOf(error, lost('closed')).message})`)),
    );
  } catch (error) {
    const before = error instanceof WorkflowExecutionAlreadyStartedError;
    gone(
      before
        ? { type: 'IdConflict', message: `Lease ${request.leaseId} has been before: machine ${machineId} was its own.` }
        : { type: 'Internal', message: `Machine ${machineId} could not be started: ${String(error)}` },
    );
  }
}

async function startTask(desk: LeaseDesk, { taskId, spec }: LeaseTask): Promise<void> {
  const { life, request } = desk;
  const { plan } = life;
  const guest = guestRefOf(life);
  if (!guest || !plan) return;
  const closed = (message: string): void => desk.enqueue({ type: 'taskClosed', taskId, message });
  desk.apply({ type: 'taskStarted', taskId });
  try {
    const handle = await startChild<typeof task>(workflowType.task, {
      ...abandonedChild,
      workflowId: taskWorkflowId(request.leaseId, taskId),
      args: [
        {
          leaseId: request.leaseId,
          taskId,
          spec,
          guest,
          digest: plan.bundle.digest,
          holder: workflowInfo().workflowId,
          tuning: desk.tuning,
        },
      ],
      staticSummary: `task ${taskId} of lease ${request.leaseId}`,
      typedSearchAttributes: attributesOf({ lease: request.leaseId, bundle: plan.bundle.name }),
    });
    void handle.result().then(
      (result: TaskResult) => desk.enqueue({ type: 'taskEnded', result }),
      (error: unknown) =>
        closed(
          `its workflow ended without a result: ${reasonOf(error, { type: 'GuestLost', message: 'closed' }).message}`,
        ),
    );
  } catch (error) {
    closed(`it could not be started: ${String(error)}`);
  }
}

async function tell(workflowId: string, signal: string, body: unknown, closed: () => void): Promise<void> {
  try {
    await getExternalWorkflowHandle(workflowId).signal(signal, body);
  } catch {
    closed();
  }
}

const tellMachine = (desk: LeaseDesk, machineId: string, signal: string, body: unknown): Promise<void> =>
  tell(machineWorkflowId(machineId), signal, body, () =>
    desk.enqueue({
      type: 'machineClosed',
      machineId,
      reason: { type: 'GuestLost', message: `Machine ${machineId}: its workflow is closed.` },
    }),
  );

async function passOnMarkReady(desk: LeaseDesk): Promise<void> {
  const { machine } = desk.life;
  // Before the first machine it waits for it; meant for one that has ended, it is not the next one's.
  if (!machine) return;
  const body = desk.takeMarkReady();
  if (body !== undefined && machine.phase !== 'ended')
    await tellMachine(desk, machine.machineId, machineSignals.markReady, body);
}

/** After continue-as-new a run never hears of earlier children that were terminated: it looks at them itself. */
function watchCarried(desk: LeaseDesk): CancellationScope {
  const { machine } = desk.life;
  const { leaseId } = desk.request;
  const started = openTasks(desk.life).filter((task) => task.phase === 'started');
  const tasks = new Map(started.map((task) => [taskWorkflowId(leaseId, task.taskId), task.taskId]));
  const own = machine && machine.phase !== 'ended' && !machine.pooled;
  const machines = own ? [machineWorkflowId(machine.machineId)] : [];
  return watchClosed([...machines, ...tasks.keys()], ({ workflowId, status }) => {
    const taskId = tasks.get(workflowId);
    const message = `its workflow is ${status}`;
    if (taskId !== undefined) desk.enqueue({ type: 'taskClosed', taskId, message });
    else if (machine) {
      const reason: Reason = { type: 'GuestLost', message: `Machine ${machine.machineId}: ${message}` };
      desk.enqueue({ type: 'machineClosed', machineId: machine.machineId, reason });
    }
  });
}
