import { isCancellation, setCurrentDetails } from '@temporalio/workflow';
import { z } from 'zod';
import type { Notice, Notified } from '../activities/activities.ts';
import { id } from '../contract/common.ts';
import { notifyTarget } from '../contract/notify.ts';
import { notifyEvents, notifyWithinMs } from '../domain/notify.ts';
import { checked, refuseTheRest } from './door.ts';
import { failureOf, reasonOf } from './failures.ts';
import { teller } from './proxies.ts';

const noticeInput = z.strictObject({
  leaseId: id,
  event: z.enum(notifyEvents),
  webhookId: z.string().regex(/^[\w-]{1,100}$/, 'must be letters, digits, underscore and hyphen'),
  target: notifyTarget,
  body: z.looseObject({ type: z.string(), timestamp: z.string() }),
});

/** One call to a dispatcher, until it has taken it or a day is over. It outlives its lease, which never waits for it. */
export async function notify(raw: Notice): Promise<Notified> {
  refuseTheRest('none', () => undefined);
  checked(noticeInput, raw, 'input of workflow notify');
  const { leaseId, event, target } = raw;
  const { origin } = new URL(target.url);
  setCurrentDetails(`**${event}** of lease ${leaseId} · tells ${origin}, signed with secret \`${target.secret}\``);
  try {
    return await teller(`POST ${origin}`).notify(raw);
  } catch (error) {
    if (isCancellation(error)) throw error;
    const message = `${origin} was not told within ${notifyWithinMs / 3_600_000} h.`;
    throw failureOf(reasonOf(error, { type: 'NotifyUnanswered', message }));
  }
}
