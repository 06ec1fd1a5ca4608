import {
  allHandlersFinished,
  CancellationScope,
  condition,
  defineQuery,
  defineSignal,
  defineUpdate,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import type { z } from 'zod';
import type { PoolAnswer } from '../activities/activities.ts';
import { poolSignals, poolUpdates, queries } from '../contract/messages.ts';
import { poolWorkflowId } from '../domain/ids.ts';
import type { MachineReport } from '../domain/machine-report.ts';
import { applyPool, type PoolEvent } from '../domain/pool-life.ts';
import { nextWakeMs } from '../domain/pool-plan.ts';
import { answerTo } from '../domain/pool-service.ts';
import { poolStateOf, poolStatusOf, type PoolState, type PoolStatus } from '../domain/pool-status.ts';
import { bornPool, ceilingOf, type Claim, type PoolDeclaration, type PoolLife } from '../domain/pool.ts';
import { attributesOf } from '../contract/attributes.ts';
import { createAlarm } from './alarm.ts';
import { poolDetails } from './details.ts';
import { checked, hearInOrder, invalid, mistakesOf, orEmpty, refuseTheRest, type Hear } from './door.ts';
import { poolDoor } from './pool-door.ts';

/** What a pool is started with; `carried` is its own next run's. */
export interface PoolInput {
  readonly name: string;
  readonly declared?: PoolDeclaration;
  readonly carried?: PoolLife;
  /** Of runs that hear what came before their handlers in the order of its coming; those before them did not. */
  readonly inOrder?: true;
}

/** A run takes 2,000 updates; it continues as new before. */
const updatesBound = 1_500;

const update = {
  claim: defineUpdate<PoolAnswer, [unknown]>(poolUpdates.claim),
  set: defineUpdate<PoolStatus, [unknown]>(poolUpdates.set),
  drain: defineUpdate<PoolStatus, [unknown?]>(poolUpdates.drain),
};

export type PoolDesk = ReturnType<typeof openPool>;

/** The pool's state with its handlers. They apply what comes at once, because they answer with it; the main loop acts. */
export function openPool(raw: unknown) {
  const door = poolDoor();
  const carried = workflowInfo().continuedFromExecutionRunId === undefined ? undefined : (raw as PoolInput).carried;
  if (!carried) checked<unknown>(door.input, raw, 'input of workflow pool');
  const input = raw as PoolInput;
  const { name } = input;
  if (workflowInfo().workflowId !== poolWorkflowId(name)) {
    throw invalid(`The workflow id is ${workflowInfo().workflowId}, it must be ${poolWorkflowId(name)}.`);
  }
  const birth = workflowInfo().firstExecutionRunId;
  let life = carried ?? (input.declared ? bornPool(name, input.declared, Date.now()) : undefined);
  let news = false;
  let applied = 0;
  let updates = 0;
  let shown: PoolState | undefined = carried && poolStateOf(carried);

  const apply = (event: PoolEvent): void => {
    if (life) life = applyPool(life, event, Date.now());
    else if (event.type === 'declared') life = bornPool(name, event.declared, Date.now());
    else return;
    news = true;
    applied += 1;
    setCurrentDetails(poolDetails(life, Date.now()));
    const state = poolStateOf(life);
    if (state === shown) return;
    shown = state;
    upsertSearchAttributes(attributesOf({ state, bundle: life.declared.settings.bundle }));
  };
  const here = (): PoolLife => {
    if (life) return life;
    throw invalid(`Pool ${name} is not declared.`);
  };
  const status = (): PoolStatus => poolStatusOf(here(), Date.now());

  const known = [...Object.values(poolUpdates), poolSignals.withdraw].join(', ');
  const note = (text: string): void => apply({ type: 'refused', text });
  const heard = new Map<string, Hear>();
  const onSignal = <T>(signal: string, schema: z.ZodType, make: (body: T) => PoolEvent): void =>
    void heard.set(signal, (body) => {
      const mistakes = mistakesOf(schema, orEmpty(body));
      apply(
        mistakes.length > 0
          ? { type: 'refused', text: `signal ${signal}: ${mistakes.join('; ')}` }
          : make(orEmpty(body) as T),
      );
    });
  onSignal(poolSignals.declare, door.declared, (declared: PoolDeclaration) => ({ type: 'declared', declared }));
  onSignal(poolSignals.retract, door.retract, ({ why }: { why: string }) => ({ type: 'retracted', why }));
  onSignal(poolSignals.withdraw, door.withdraw, (body: Pick<Claim, 'leaseId' | 'attempt'>) => ({
    type: 'withdrawn',
    ...body,
  }));
  onSignal(poolSignals.machineReported, door.report, (report: MachineReport) => ({ type: 'reported', report }));
  if (carried && input.inOrder) hearInOrder(heard, known, note);
  // Before the updates, which must not overtake what came first.
  for (const [signal, hear] of heard) setHandler(defineSignal<[unknown?]>(signal), hear);
  setHandler(
    update.claim,
    (body) => {
      const claim = body as Claim;
      updates += 1;
      apply({ type: 'claim', claim });
      return { ...answerTo(here(), claim, Date.now()), birth };
    },
    { validator: (body) => void checked(door.claim, body, 'claim') },
  );
  setHandler(
    update.set,
    (body) => {
      const { reset, ...set } = body as z.output<typeof door.set>;
      updates += 1;
      apply(reset ? { type: 'reset' } : { type: 'set', ...set });
      return status();
    },
    { validator: (body) => refuseAbove(here(), checked(door.set, body, 'set')) },
  );
  setHandler(
    update.drain,
    (body?: unknown) => {
      const { reason = 'by hand' } = orEmpty(body) as z.output<typeof door.drain>;
      updates += 1;
      apply({ type: 'drained', why: reason });
      return status();
    },
    { validator: (body?: unknown) => void checked(door.drain, orEmpty(body), 'drain') },
  );
  setHandler(defineQuery<PoolStatus>(queries.status), status);
  refuseTheRest(known, note);
  void CancellationScope.current().cancelRequested.catch(() =>
    apply({ type: 'retracted', why: 'its workflow was cancelled' }),
  );
  // A pool that nobody declares would stand for ever.
  if (!life) throw invalid(`Pool ${name} is not declared: start it with the signal ${poolSignals.declare}.`);

  const alarm = createAlarm('the pool looks again', () => apply({ type: 'woken' }));

  return {
    name,
    birth,
    get life(): PoolLife {
      return here();
    },
    apply,
    async news(): Promise<void> {
      alarm.set(nextWakeMs(here(), Date.now()));
      await condition(() => news);
      news = false;
    },
    long: (): boolean =>
      applied > 0 &&
      (updates >= updatesBound ||
        workflowInfo().continueAsNewSuggested ||
        workflowInfo().historyLength >= (here().declared.tuning.continueEvery ?? Infinity)),
    /** True when the run may continue: who asked has its answer, and nothing new arrived meanwhile. */
    async settled(): Promise<boolean> {
      // Their answers are given a moment after what they changed: without this pause none would be, under steady load.
      await condition(() => news || allHandlersFinished());
      return !news;
    },
    carry: (): PoolInput => ({ name, carried: here(), inOrder: true }),
  };
}

function refuseAbove(life: PoolLife, { target, ceiling, reset }: z.output<ReturnType<typeof poolDoor>['set']>): void {
  if (reset) return;
  const { settings, most } = life.declared;
  const mayHave = ceiling ?? ceilingOf(life);
  const least = target ?? life.set.target ?? settings.target;
  if (least > mayHave) {
    throw invalid(
      `Pool ${life.name}: a target of ${least} is above the ceiling of ${mayHave} machines. Try: set both, target and ceiling.`,
    );
  }
  if (most && target !== undefined && target > most.machines) {
    throw invalid(
      `Pool ${life.name}: a target of ${target} is more than there may be: ${most.why}. Try: a target of at most ${most.machines}, or a larger quota in slipway.yaml.`,
    );
  }
}
