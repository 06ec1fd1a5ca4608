import {
  ApplicationFailure,
  CancellationScope,
  condition,
  defineQuery,
  defineSignal,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
  workflowInfo,
} from '@temporalio/workflow';
import { z } from 'zod';
import type { GuestRef, Held, MachineRef } from '../activities/activities.ts';
import { checkedInBody, machineReadyBody } from '../contract/check-in.ts';
import { reasonBody } from '../contract/lease.ts';
import { quotaGrantedBody, quotaRefusedBody } from '../contract/quota.ts';
import type { Reason } from '../domain/failure.ts';
import { leaseSignals, machineSignals, queries } from '../contract/messages.ts';
import { id } from '../contract/common.ts';
import { isOver, type MachinePhase, type MachineStatus } from '../domain/lease.ts';
import type { GuestPost } from '../domain/guest-post.ts';
import { applyMachine, bornMachine, type MachineEvent } from '../domain/machine-life.ts';
import type { Hold, MachineInput, MachineLife } from '../domain/machine.ts';
import { holdersOf, reportKey, reportOf, worthTelling, type Holder } from '../domain/machine-report.ts';
import { phaseDeadlineMs } from '../domain/machine-times.ts';
import { attributesOf } from '../contract/attributes.ts';
import { machineDetails } from './details.ts';
import { hearPower } from './machine-power.ts';
import { hearForget } from './machine-forget.ts';
import { statusOf } from './machine-status.ts';
import { mistakesOf, orEmpty, refuseTheRest } from './door.ts';

const machineStatus = defineQuery<MachineStatus>(queries.status);
const signal = {
  hold: defineSignal<[unknown?]>(machineSignals.hold),
  retire: defineSignal<[unknown?]>(machineSignals.retire),
  release: defineSignal<[unknown?]>(machineSignals.release),
  extend: defineSignal<[unknown?]>(machineSignals.extend),
  markReady: defineSignal<[unknown?]>(machineSignals.markReady),
  checkedIn: defineSignal<[unknown?]>(machineSignals.checkedIn),
  cancel: defineSignal<[unknown?]>(machineSignals.cancel),
  quotaGranted: defineSignal<[unknown?]>(machineSignals.quotaGranted),
  quotaRefused: defineSignal<[unknown?]>(machineSignals.quotaRefused),
};

/** The year 2200: dates and timers that every part can carry. */
const farthestMs = 7_258_118_400_000;
const extendedBody = z.strictObject({ untilMs: z.int().min(0).max(farthestMs) });
const releaseBody = z.strictObject({
  reason: z.string().max(1000).exactOptional(),
  leaseId: id.exactOptional(),
  taint: z.string().max(1000).exactOptional(),
});
const retireBody = z.strictObject({ why: z.string().max(1000) });
const longestMs = 34_560_000_000;
const holdBody = z.strictObject({
  leaseId: id,
  holder: z.string(),
  ttlMs: z.int().min(1).max(longestMs),
  holdOnFailureMs: z.int().min(1).max(longestMs).exactOptional(),
  own: z.strictObject({ digest: z.string(), from: z.int().min(0), of: z.int().min(0) }).exactOptional(),
});

/** Of what was refused: who sends nonsense for ever gets no more room by it. */
const notesKept = 5;

export type OpenMachine = ReturnType<typeof openMachine>;

/** The machine's state with its handlers: they only enqueue; the one main loop applies. */
export function openMachine(input: MachineInput) {
  let life = input.carried ?? bornMachine(input, Date.now());
  let applied = 0;
  let inbox: MachineEvent[] = [];
  /** By holder, what it was told last. */
  const told = new Map<string, string>(
    input.carried ? holdersOf(input, life).map((holder) => [holder.workflowId, reportKey(life)]) : [],
  );
  // Queued is what it was started with.
  let shown: MachinePhase | undefined = input.carried?.phase ?? (life.phase === 'queued' ? life.phase : undefined);
  const refused: string[] = [];
  const enqueue = (event: MachineEvent): void => void inbox.push(event);
  const note = (text: string): void => {
    refused.splice(0, refused.length - notesKept + 1);
    refused.push(text);
  };

  const received =
    (name: string, schema: z.ZodType, make: (body: never) => MachineEvent) =>
    (body?: unknown): void => {
      const mistakes = mistakesOf(schema, orEmpty(body));
      if (mistakes.length > 0) note(`signal ${name}: ${mistakes.join('; ')}`);
      else enqueue(make(orEmpty(body) as never));
    };
  setHandler(
    signal.hold,
    received('hold', holdBody, (lease: Hold) => ({ type: 'hold', lease })),
  );
  setHandler(
    signal.retire,
    received('retire', retireBody, ({ why }: { why: string }) => ({ type: 'retire', why })),
  );
  setHandler(
    signal.release,
    received('release', releaseBody, ({ leaseId, taint }: { leaseId?: string; taint?: string }) => ({
      type: 'released',
      ...(leaseId === undefined ? {} : { leaseId }),
      ...(taint === undefined ? {} : { taint }),
    })),
  );
  setHandler(
    signal.cancel,
    received('cancel', reasonBody, () => ({ type: 'cancelled' })),
  );
  setHandler(
    signal.extend,
    received('extend', extendedBody, (body: { untilMs: number }) => ({
      type: 'extended',
      untilMs: body.untilMs,
    })),
  );
  setHandler(
    signal.markReady,
    received('markReady', machineReadyBody, ({ result = 0, message, guest }: z.output<typeof machineReadyBody>) => {
      const word = { result, ...(message ? { message } : {}) };
      return guest ? { type: 'checkedIn', post: { ...guest, ...word } } : { type: 'marked', ...word };
    }),
  );
  setHandler(
    signal.checkedIn,
    received('checkedIn', checkedInBody, (post: GuestPost) => ({ type: 'checkedIn', post })),
  );
  /** Under another key it is for an earlier machine of this id. */
  const ofQuota = (key: string, event: MachineEvent): MachineEvent =>
    key === input.key ? event : { type: 'interrupted' };
  setHandler(
    signal.quotaGranted,
    received('quotaGranted', quotaGrantedBody, ({ key }: { key: string }) => ofQuota(key, { type: 'granted' })),
  );
  setHandler(
    signal.quotaRefused,
    received('quotaRefused', quotaRefusedBody, ({ key, reason }: { key: string; reason: Reason }) =>
      ofQuota(key, { type: 'refused', reason }),
    ),
  );
  setHandler(machineStatus, () => statusOf(input, life));
  hearForget(
    input.machineId,
    () => life.phase,
    () => statusOf(input, life),
    (reason) => enqueue({ type: 'forget', reason }),
  );
  const refNow = (): MachineRef => refOf(input, life);
  const power = hearPower({
    input,
    life: () => life,
    ref: refNow,
    status: () => statusOf(input, life),
    apply: (event) => apply(event),
  });
  refuseTheRest(Object.values(machineSignals).join(', '), note);
  void CancellationScope.current().cancelRequested.catch(() => enqueue({ type: 'cancelled' }));

  const apply = (event: MachineEvent): void => {
    life = applyMachine(input, life, event, Date.now());
    applied += 1;
    setCurrentDetails(machineDetails(statusOf(input, life), refused));
    if (shown !== life.phase && (visible.has(life.phase) || shown === 'queued')) {
      shown = life.phase;
      // A pool's machine is found under the lease that has it.
      const lease = life.phase === 'ready' ? life.lease?.leaseId : undefined;
      upsertSearchAttributes(attributesOf({ state: life.phase, ...(lease === undefined ? {} : { lease }) }));
    }
  };

  return {
    input,
    get life(): MachineLife {
      return life;
    },
    get ref(): MachineRef {
      return refNow();
    },
    /** Until what was asked of its power is answered. */
    answered: power.settled,
    powering: power.busy,
    /** Who is looked at by the activities: nobody else notices that it was terminated. */
    get held(): Held {
      const holder = life.lease?.holder ?? input.holder;
      return holder === undefined ? {} : { holder };
    },
    get guest(): GuestRef {
      if (!life.access) throw ApplicationFailure.nonRetryable(`Machine ${input.machineId} has no address`, 'Internal');
      return { machine: this.ref, access: life.access };
    },
    apply,
    leftMs: (): number => Math.max(1, (phaseDeadlineMs(input, life) ?? Infinity) - Date.now()),
    long: (): boolean =>
      applied > 0 &&
      inbox.length === 0 &&
      !power.busy() &&
      !isOver(life.phase) &&
      (workflowInfo().continueAsNewSuggested ||
        workflowInfo().historyLength >= (input.tuning.continueEvery ?? Infinity)),

    /** The phase's work against the inbox: what ends the phase cancels the work and waits until it is over. */
    async race(work: () => Promise<MachineEvent>): Promise<void> {
      const phase = life.phase;
      let outcome: MachineEvent | undefined;
      const scope = new CancellationScope({ cancellable: true });
      const done = scope.run(work).then((event) => (outcome = event));
      const drain = (): void => {
        const events = inbox;
        inbox = [];
        for (const event of events) apply(event);
      };
      for (;;) {
        await condition(() => outcome !== undefined || inbox.length > 0 || life.phase !== phase);
        drain();
        if (outcome) break;
        if (life.phase !== phase || (resumable.has(phase) && this.long())) {
          scope.cancel();
          // Accepted is accepted: a create that is slow to give up keeps nobody waiting.
          await this.tellHolders();
          await done;
          break;
        }
        await this.tellHolders();
      }
      drain();
      apply(await done);
    },

    /** On change; a lease that is no more means that nobody wants the machine. */
    async tellHolders(): Promise<void> {
      await Promise.all(
        holdersOf(input, life)
          .filter((holder) => worthTelling(holder, life, told.get(holder.workflowId) ?? ''))
          .map(tell),
      );
    },
  };

  async function tell(holder: Holder): Promise<void> {
    const { workflowId, is } = holder;
    told.set(workflowId, reportKey(life));
    try {
      await getExternalWorkflowHandle(workflowId).signal(leaseSignals.machineReported, reportOf(input, life, holder));
    } catch {
      apply(is === 'lease' ? { type: 'leaseClosed' } : { type: 'retire', why: 'its pool is no more' });
    }
  }
}

function refOf(input: MachineInput, life: MachineLife): MachineRef {
  const { machineId, birth, provider, key } = input;
  const leaseId = life.lease?.leaseId ?? input.leaseId;
  const known = life.debts.find((debt) => debt.key === key)?.ref ?? input.reclaimOnly?.ref;
  return {
    machineId,
    leaseId,
    birth,
    generation: life.generation,
    provider,
    key,
    ...(life.keys === undefined ? {} : { keys: life.keys }),
    ...(input.plan.hostKey === undefined ? {} : { hostKey: input.plan.hostKey }),
    ...(known ? { ref: known } : {}),
  };
}

/** Their work can be cut short and taken up again by the next run. */
const resumable = new Set<MachinePhase>(['queued', 'readying', 'warm', 'ready', 'held']);

/** Phases that people look for; each costs an event. */
const visible = new Set<MachinePhase>([
  'queued',
  'warm',
  'ready',
  'held',
  'renewing',
  'reclaiming',
  'stuck',
  'forgotten',
]);
