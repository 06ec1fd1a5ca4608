import {
  CancellationScope,
  condition,
  continueAsNew,
  isCancellation,
  patched,
  sleep,
  upsertMemo,
} from '@temporalio/workflow';
import type { Reason } from '../domain/failure.ts';
import { chosenHostKey } from '../domain/host-key.ts';
import { isOver, type MachinePhase } from '../domain/lease.ts';
import type { MachineEvent } from '../domain/machine-life.ts';
import { quotaOf, stepsOf, type MachineInput, type MachineLife } from '../domain/machine.ts';
import { phaseDeadlineMs } from '../domain/machine-times.ts';
import { afterEvidence } from './evidence.ts';
import { isTimeout, reasonOf } from './failures.ts';
import { openMachine, type OpenMachine } from './machine-life.ts';
import { gateEvent } from './gate.ts';
import { giveQuotaBack, queue, tellStockout } from './machine-quota.ts';
import { checkedMachine } from './inputs.ts';
import { cloud, payer, waits, watchAgainMs } from './proxies.ts';
import { renew, withBaseline } from './renewal.ts';
import { watched } from './watched.ts';

/** What the machine looks like after its end. */
export interface MachineEnd {
  readonly machineId: string;
  readonly phase: MachinePhase;
  readonly cause?: MachineLife['cause'];
  readonly reason?: Reason;
  /** Given up by a person, and what is still owed. */
  readonly forgotten?: { readonly reason: string; readonly debts: MachineLife['debts'] };
  /** It is gone for us and not clean: why its provider gives it to nobody. */
  readonly takenOut?: string;
}

/** One incarnation of a VM, from create to seen-gone. */
export async function machine(raw: MachineInput): Promise<MachineEnd> {
  const input = checkedMachine(raw);
  const own = openMachine(input);
  const work: Record<MachinePhase, () => Promise<MachineEvent>> = {
    queued: () => queue(own),
    provisioning: () => provision(own),
    loading: () => load(own),
    waiting: () => reach(own),
    customizing: () => customize(own),
    readying: () => passGate(own),
    warm: () => lookAfter(own),
    ready: () => lookAfter(own),
    held: () => afterEvidence(own, () => lookAfter(own)),
    renewing: () => failing(own, 'renewed', () => renew(own)),
    reclaiming: () => afterEvidence(own, () => reclaim(own, { withinMs: input.tuning.reclaimWithinMs })),
    stuck: () => reclaim(own, { everyMs: input.tuning.stuckRetryMs }),
    forgotten: () => Promise.resolve({ type: 'interrupted' }),
    gone: () => Promise.resolve({ type: 'interrupted' }),
  };
  return CancellationScope.nonCancellable(async () => {
    await own.tellHolders();
    while (!isOver(own.life.phase)) {
      await own.race(work[own.life.phase]);
      await own.tellHolders();
      if (own.long()) {
        // Thrown, so it must stand outside any try: a catch around it would destroy the machine.
        await continueAsNew<typeof machine>({ ...input, carried: own.life });
      }
    }
    if (own.powering()) await own.answered();
    const { phase, cause, reason, forgotten, takenOut, debts } = own.life;
    // The sweep reads it there, as long as the provider has the machine.
    if (phase === 'forgotten') upsertMemo({ forgotten });
    return {
      machineId: input.machineId,
      phase,
      ...(cause ? { cause } : {}),
      ...(reason ? { reason } : {}),
      ...(forgotten === undefined ? {} : { forgotten: { reason: forgotten, debts } }),
      ...(takenOut === undefined ? {} : { takenOut }),
    };
  });
}

async function provision(own: OpenMachine): Promise<MachineEvent> {
  const { input } = own;
  const createByMs = Date.now() + own.leftMs();
  own.apply({ type: 'owed', debt: { kind: 'machine', key: input.key, sinceMs: Date.now(), quietFromMs: createByMs } });
  try {
    const place = cloud(own.leftMs(), `create ${input.machineId} on ${input.provider}`, quotaOf(input) !== undefined);
    const made = await place.createMachine({
      machine: own.ref,
      digest: input.plan.bundle.digest,
      variant: input.variant,
      createByMs,
      ...own.held,
    });
    return { type: 'created', key: input.key, ...made };
  } catch (error) {
    // A create that ran out of time may still be under way; one that answered is not.
    const quietFromMs = isTimeout(error) ? createByMs : Date.now();
    await tellStockout(own, error);
    return { type: 'createFailed', key: input.key, quietFromMs, reason: reasonOf(error, overdue(own, 'created')) };
  }
}

const load = (own: OpenMachine): Promise<MachineEvent> =>
  failing(own, 'running', async () => ({
    type: 'located',
    ...(await cloud(own.leftMs(), 'until running, with an address').awaitRunning({ machine: own.ref, ...own.held })),
  }));

const ownHostKey = 'a guest makes a host key of its own';

/** Twice where its guest makes a key of its own: that is recorded before the guest switches to it. */
const reach = (own: OpenMachine): Promise<MachineEvent> =>
  failing(own, 'accessible', async () => {
    const { nextHostKey, hostKey: known, pin } = own.guest.access;
    const told = known === '' && pin === 'checkin' ? await hostKeysTold(own) : undefined;
    if (told?.length === 0) return { type: 'failed', reason: overdue(own, 'known by a host key that its guest posts') };
    const summary =
      nextHostKey === undefined ? 'full SSH login on the pinned key' : 'the host key that its guest has made';
    const { facts, hostKey } = await waits(own.leftMs(), summary).awaitAccessible({
      ...own.guest,
      ...own.held,
      ...(told ? { told } : {}),
    });
    // What was begun is gone through with, whatever other workers know of it.
    const takes = nextHostKey !== undefined || known === '' || (hostKey !== undefined && patched(ownHostKey));
    return { type: 'reached', facts, ...(hostKey && takes ? { hostKey } : {}) };
  });

/** As it calls home; none when it has not in time. */
async function hostKeysTold(own: OpenMachine): Promise<readonly string[]> {
  const told = (): readonly string[] => own.life.checkIn?.hostKeys ?? [];
  await condition(() => chosenHostKey(told()) !== undefined, own.leftMs());
  return chosenHostKey(told()) === undefined ? [] : told();
}

function customize(own: OpenMachine): Promise<MachineEvent> {
  const { input, life } = own;
  const step = life.nextStep;
  const planned = life.lease ? ownStep : input.plan.steps[step];
  return failing(own, 'customized', async () => {
    if (!planned) return { type: 'stepDone' };
    const summary = `step ${step + 1} of ${stepsOf(input, life)}: ${planned.title}`;
    const digest = life.lease?.own?.digest ?? input.plan.bundle.digest;
    const { failure } = await waits(own.leftMs(), summary).runStep({ ...own.guest, ...own.held, digest, step });
    if (!failure || planned.allowFailure) return { type: 'stepDone' };
    const how = failure.exitCode === null ? (failure.message ?? 'no exit code') : `exit ${failure.exitCode}`;
    const message = `step ${failure.step + 1} of ${failure.of} failed: ${failure.title}: ${how}`;
    return { type: 'failed', reason: { type: 'CustomizeFailed', message }, failedStep: failure };
  });
}

/** What a lease brings to a warm machine; its recipe says more. */
const ownStep = { title: 'files and keys of the lease', allowFailure: false };

const passGate = (own: OpenMachine): Promise<MachineEvent> =>
  failing(own, 'ready', async () => {
    const passed = await gateEvent(own, () => overdue(own, 'marked ready'));
    return passed.type === 'gatePassed' ? withBaseline(own, passed) : passed;
  });

/** Warm, leased or held: until its time is over, or the watch brings news. */
async function lookAfter(own: OpenMachine): Promise<MachineEvent> {
  const news = (async (): Promise<MachineEvent> => {
    const { holder } = own.held;
    if (!holder) return new Promise(() => undefined);
    const seen = await watched(own, holder).catch(async (error: unknown) => {
      // The watch only looks: one that fails for good is taken up again later.
      if (!isCancellation(error)) await sleep(watchAgainMs);
    });
    if (!seen) return { type: 'interrupted' };
    return seen.type === 'lost' && own.life.phase === 'held' ? { type: 'expired' } : seen;
  })();
  const over = (async (): Promise<MachineEvent> => {
    // A warm machine has no end of its own: its pool says when.
    if (own.leftMs() === Infinity) return CancellationScope.current().cancelRequested;
    while (own.leftMs() > 1) await sleep(own.leftMs(), { summary: 'the end that the machine carries itself' });
    return { type: 'expired' };
  })();
  try {
    return await Promise.race([news, over]);
  } catch {
    return { type: 'interrupted' };
  } finally {
    CancellationScope.current().cancel();
    await Promise.allSettled([over]);
    void news.catch(() => undefined);
  }
}

/** Pays the last debt; the machine stays until every one is paid. */
async function reclaim(own: OpenMachine, how: { withinMs: number } | { everyMs: number }): Promise<MachineEvent> {
  const debt = own.life.debts.at(-1);
  if (!debt) return { type: 'paid', key: own.input.key };
  const pay = async (): Promise<MachineEvent> => {
    if (debt.kind === 'quota') {
      await giveQuotaBack(own, debt);
      return { type: 'paid', key: debt.key };
    }
    try {
      // Once the machine is given up another tenant may have what the order would hit.
      if (own.powering()) await own.answered();
      const activities = payer(`destroy ${own.input.machineId} until seen gone`, how);
      // Of an earlier version it has no answer.
      const { takenOut } = (await activities.destroyMachine({ machine: own.ref, debt })) ?? {};
      return { type: 'paid', key: debt.key, ...(takenOut === undefined ? {} : { takenOut }) };
    } catch (error) {
      if (isCancellation(error)) return { type: 'interrupted' };
      // Refused for good, not for now: the provider's mind may change all the same.
      if ('everyMs' in how) await sleep(how.everyMs).catch(() => undefined);
      const { type, message } = reasonOf(error, { type: 'ProviderUnavailable', message: 'It took too long.' });
      const what = `Machine ${own.input.machineId} (provider ${own.input.provider}) cannot be destroyed now.`;
      return { type: 'stuck', reason: { type, message: `${what} ${message}` } };
    }
  };
  // What is stuck can be given up by a person; nothing else stops a debt from being paid.
  return 'everyMs' in how ? pay() : CancellationScope.nonCancellable(pay);
}

async function failing(own: OpenMachine, what: string, work: () => Promise<MachineEvent>): Promise<MachineEvent> {
  try {
    return await work();
  } catch (error) {
    if (isCancellation(error)) return { type: 'interrupted' };
    const reason = reasonOf(error, overdue(own, what));
    // Between two leases nobody holds it: what is gone is the machine.
    const unheld = reason.type === 'Gone' && own.life.phase !== 'renewing';
    return unheld ? { type: 'leaseClosed' } : { type: 'failed', reason };
  }
}

function overdue(own: OpenMachine, what: string): Reason {
  const { input, life } = own;
  const seconds = Math.round(((phaseDeadlineMs(input, life) ?? Date.now()) - life.sinceMs) / 1000);
  return {
    type: 'GuestNeverReady',
    message: `Machine ${input.machineId} (provider ${input.provider}) was not ${what} within ${seconds} s of ${life.phase}. Try: slipway provider check ${input.provider}.`,
  };
}
