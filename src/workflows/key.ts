import {
  CancellationScope,
  condition,
  defineSignal,
  defineUpdate,
  isCancellation,
  setHandler,
} from '@temporalio/workflow';
import { z } from 'zod';
import { id } from '../contract/common.ts';
import { keySignals, keyUpdates } from '../contract/messages.ts';
import { publicKey } from '../contract/transfer.ts';
import type { Reason } from '../domain/failure.ts';
import { checked, refuseTheRest } from './door.ts';
import { failureOf, reasonOf } from './failures.ts';
import { keys } from './proxies.ts';

const keyInput = z.strictObject({ leaseId: id, publicKey, untilMs: z.int().min(0) });
type KeyInput = z.output<typeof keyInput>;

/** A key that may log in to the machine of a lease for a time, and is taken out again whatever becomes of its owner. */
export async function key(raw: unknown): Promise<void> {
  let input: KeyInput | undefined;
  let state: 'asked' | 'in' | 'out' = 'asked';
  let refused: Reason | undefined;
  let leaving = false;
  setHandler(defineSignal<[unknown?]>(keySignals.leave), () => void (leaving = true));
  setHandler(defineUpdate<void, [unknown?]>(keyUpdates.letIn), async () => {
    await condition(() => state !== 'asked' || refused !== undefined);
    if (refused) throw failureOf(refused);
  });
  refuseTheRest(`${keySignals.leave}, ${keyUpdates.letIn}`, () => undefined);
  void CancellationScope.current().cancelRequested.catch(() => (leaving = true));
  return CancellationScope.nonCancellable(async () => {
    try {
      input = checked(keyInput, raw, 'input of workflow key');
      const { leaseId, publicKey: line, untilMs } = input;
      await keys('let a key in').letKeyIn({ leaseId, publicKey: line });
      state = 'in';
      await condition(() => leaving, Math.max(1, untilMs - Date.now()));
    } catch (error) {
      if (isCancellation(error)) throw error;
      refused = reasonOf(error, { type: 'GuestUnreachable', message: 'The guest did not answer in time.' });
    }
    if (input === undefined) throw failureOf(refused ?? { type: 'Internal', message: 'no input' });
    // Also after a refusal: an earlier try may have had its effect.
    if (refused === undefined) await takeOut(input);
    else if (!nobodyThere.has(refused.type)) await takeOut(input).catch(() => undefined); // the refusal is the news
    state = 'out';
    if (refused) throw failureOf(refused);
  });
}

/** With the machine its keys are gone as well. */
const nobodyThere: ReadonlySet<Reason['type']> = new Set(['Gone', 'NotFound', 'InvalidRequest']);

async function takeOut({ leaseId, publicKey: line }: KeyInput): Promise<void> {
  try {
    await keys('take a key out').takeKeyOut({ leaseId, publicKey: line });
  } catch (error) {
    const reason = reasonOf(error, { type: 'GuestUnreachable', message: 'The guest did not answer in time.' });
    if (!nobodyThere.has(reason.type)) throw failureOf(reason);
  }
}
