import { WorkflowExecutionAlreadyStartedError } from '@temporalio/common';
import {
  CancellationScope,
  continueAsNew,
  getExternalWorkflowHandle,
  startChild,
  workflowInfo,
} from '@temporalio/workflow';
import { leaseSignals, machineSignals, workflowType } from '../contract/messages.ts';
import type { Reason } from '../domain/failure.ts';
import { leaseWorkflowId, machineWorkflowId, providerKey } from '../domain/ids.ts';
import type { MachineInput } from '../domain/machine.ts';
import type { PoolEvent } from '../domain/pool-life.ts';
import { isOver, planPool, type PoolAction } from '../domain/pool-plan.ts';
import { attributesOf } from '../contract/attributes.ts';
import { abandonedChild, watchClosed } from './children.ts';
import { reasonOf } from './failures.ts';
import type { machine, MachineEnd } from './machine.ts';
import { openPool, type PoolDesk } from './pool-desk.ts';
import { local } from './proxies.ts';

export interface PoolEnd {
  readonly name: string;
  readonly why?: string;
}

/** Kept capacity of one bundle: machines that stand ready before anybody asks. */
export async function pool(raw: unknown): Promise<PoolEnd> {
  const desk = openPool(raw);
  return CancellationScope.nonCancellable(async () => {
    const watching = watchCarried(desk);
    const work = createWork(desk);
    for (;;) {
      work.begin(planPool(desk.life, Date.now()));
      if (isOver(desk.life) && work.isDone()) break;
      if (desk.long() && work.isDone() && (await desk.settled())) {
        watching.cancel();
        // Thrown: it must stand outside any try.
        await continueAsNew(desk.carry());
      }
      await desk.news();
    }
    watching.cancel();
    const { name, why } = desk.life;
    return { name, ...(why === undefined ? {} : { why }) };
  });
}

/** Asked again so much later, when a schedule could not be read. */
const scheduleAgainMs = 7_200_000;

/** What is under way. Everything beside everything else, but for one machine in the order in which it was decided. */
function createWork(desk: PoolDesk) {
  let open = 0;
  const lastOf = new Map<string, Promise<void>>();
  let scheduling = false;

  const launch = (key: string | undefined, work: () => Promise<PoolEvent | undefined>): void => {
    open += 1;
    const before = (key === undefined ? undefined : lastOf.get(key)) ?? Promise.resolve();
    const done = before.then(work).then((event) => {
      open -= 1;
      if (key !== undefined && lastOf.get(key) === done) lastOf.delete(key);
      // Also when nothing follows: the loop may wait for the last of its work.
      desk.apply(event ?? { type: 'woken' });
    });
    if (key !== undefined) lastOf.set(key, done);
  };

  const begin = (action: PoolAction): void => {
    switch (action.do) {
      case 'tell': {
        const { machineId, leaseId, grant } = action;
        desk.apply({ type: 'serving', machineId, stage: 'telling' });
        return launch(machineId, async () => {
          const told = await tell(leaseWorkflowId(leaseId), leaseSignals.poolGranted, grant);
          return { type: 'told', leaseId, attempt: grant.attempt, closed: !told };
        });
      }
      case 'refuse': {
        const { leaseId, grant } = action;
        desk.apply({ type: 'refusalTold', leaseId });
        return launch(undefined, async () => {
          // One that has closed needs no answer.
          await tell(leaseWorkflowId(leaseId), leaseSignals.poolGranted, grant);
          return undefined;
        });
      }
      case 'hold': {
        const { machineId, hold } = action;
        desk.apply({ type: 'serving', machineId, stage: 'holding' });
        return launch(machineId, () =>
          tellMachine(machineId, machineSignals.hold, hold, { type: 'serving', machineId, stage: 'held' }),
        );
      }
      case 'release': {
        const { machineId, leaseId } = action;
        desk.apply({ type: 'serving', machineId, stage: 'releasing' });
        return launch(machineId, () => tellMachine(machineId, machineSignals.release, { leaseId }));
      }
      case 'retire': {
        const { machineId, why } = action;
        desk.apply({ type: 'retiring', machineId, why });
        return launch(machineId, () => tellMachine(machineId, machineSignals.retire, { why }));
      }
      case 'start': {
        const { machineId, provider, digest } = action;
        desk.apply({ type: 'started', machineId, provider, digest });
        return launch(machineId, () => start(desk, action));
      }
      case 'schedule':
        if (scheduling) return;
        scheduling = true;
        return launch(undefined, async () => {
          const event = await schedule(desk, action.fromMs);
          scheduling = false;
          return event;
        });
    }
  };
  return {
    begin: (actions: readonly PoolAction[]): void => actions.forEach(begin),
    isDone: (): boolean => open === 0,
  };
}

async function schedule(desk: PoolDesk, fromMs: number): Promise<PoolEvent> {
  try {
    const { list, knownUntilMs } = await local.planSchedule({
      rules: desk.life.declared.settings.schedule ?? [],
      fromMs,
    });
    return { type: 'scheduled', list, knownUntilMs };
  } catch (error) {
    const { message } = reasonOf(error, { type: 'Internal', message: 'timed out.' });
    desk.apply({ type: 'refused', text: `its schedule could not be read: ${message}` });
    return { type: 'scheduled', list: [], knownUntilMs: fromMs + scheduleAgainMs };
  }
}

async function start(desk: PoolDesk, action: Extract<PoolAction, { do: 'start' }>): Promise<PoolEvent | undefined> {
  const { machineId, provider, variant } = action;
  const { plan, tuning } = desk.life.declared;
  if (!plan) return undefined;
  const input: MachineInput = {
    machineId,
    leaseId: '',
    pool: { name: desk.name },
    holder: workflowInfo().workflowId,
    provider,
    variant,
    birth: desk.birth,
    key: providerKey(machineId, desk.birth),
    plan,
    // Of an account its machines are the pool's share, whoever leases them.
    owner: workflowInfo().workflowId,
    // With one place only, it waits there; else the next one is tried.
    ...(plan.quotas && plan.variants.length === 1 ? { patient: true } : {}),
    ttlMs: plan.ttlMs,
    tuning,
  };
  const closed = (reason: Reason): void => desk.apply({ type: 'closed', machineId, reason });
  const lost: Reason = { type: 'GuestLost', message: `Machine ${machineId}: its workflow ended without a word.` };
  try {
    const handle = await startChild<typeof machine>(workflowType.machine, {
      ...abandonedChild,
      workflowId: machineWorkflowId(machineId),
      args: [input],
      staticSummary: `${plan.bundle.name} on ${provider} for pool ${desk.name}`,
      // By it the sweep tells this life from another that had the id.
      memo: { key: input.key },
      typedSearchAttributes: attributesOf({ state: 'provisioning', bundle: plan.bundle.name, provider }),
    });
    void handle.result().then(
      (end: MachineEnd) => closed(end.reason ?? lost),
      () => closed(lost),
    );
    return undefined;
  } catch (error) {
    const taken = error instanceof WorkflowExecutionAlreadyStartedError;
    const message = `Machine ${machineId} could not be started: ${String(error)}`;
    return { type: 'startFailed', machineId, taken, reason: { type: 'Internal', message } };
  }
}

/** False when its workflow is closed. */
async function tell(workflowId: string, signal: string, body: unknown): Promise<boolean> {
  try {
    await getExternalWorkflowHandle(workflowId).signal(signal, body);
    return true;
  } catch {
    return false;
  }
}

async function tellMachine(
  machineId: string,
  signal: string,
  body: unknown,
  then?: PoolEvent,
): Promise<PoolEvent | undefined> {
  if (await tell(machineWorkflowId(machineId), signal, body)) return then;
  const message = `Machine ${machineId}: its workflow is closed.`;
  return { type: 'closed', machineId, reason: { type: 'GuestLost', message } };
}

/** A run never hears of an earlier run's machine that was terminated: it looks at them itself. */
const watchCarried = (desk: PoolDesk): CancellationScope =>
  watchClosed(
    desk.life.machines.map(({ machineId }) => machineWorkflowId(machineId)),
    ({ workflowId, status }) => {
      const machineId = workflowId.slice(machineWorkflowId('').length);
      const message = `Machine ${machineId}: its workflow is ${status}.`;
      desk.apply({ type: 'closed', machineId, reason: { type: 'GuestLost', message } });
    },
  );
