import {
  CancellationScope,
  condition,
  continueAsNew,
  defineQuery,
  defineSignal,
  defineUpdate,
  getExternalWorkflowHandle,
  setCurrentDetails,
  setHandler,
  workflowInfo,
} from '@temporalio/workflow';
import type { z } from 'zod';
import { machineSignals, queries, quotaSignals, quotaUpdates } from '../contract/messages.ts';
import {
  configureBody,
  reconcileBody,
  releaseQuotaBody,
  reserveBody,
  stockoutBody,
  takeCallsBody,
  throttledBody,
} from '../contract/quota.ts';
import { machineWorkflowId } from '../domain/ids.ts';
import { heal } from '../domain/quota-heal.ts';
import { quotaStatusOf, type QuotaStatus } from '../domain/quota-status.ts';
import {
  coolsDownAtMs,
  emptyLedger,
  reconfigure,
  release,
  reserve,
  settle,
  stockedOut,
  type AccountQuota,
  type Ledger,
  type QuotaAnswer,
  type QuotaNews,
} from '../domain/quota.ts';
import { sameBody } from '../domain/same.ts';
import {
  fullAtMs,
  fullBucket,
  pauseCalls,
  takeCalls,
  type CallRate,
  type CallsGranted,
  type TokenBucket,
} from '../domain/token-bucket.ts';
import type { Tuning } from '../domain/tuning.ts';
import { createAlarm } from './alarm.ts';
import { quotaDetails } from './details.ts';
import { checked, mistakesOf, orEmpty, refuseTheRest } from './door.ts';
import { checkedQuota } from './inputs.ts';

interface Calls {
  readonly rate: CallRate;
  readonly bucket: TokenBucket;
}
export interface QuotaInput {
  readonly account: string;
  /** As the settings say; every ask says it anew. */
  readonly quota?: AccountQuota;
  readonly tuning: Tuning;
  readonly carried?: { readonly ledger: Ledger; readonly calls?: Calls };
}

/** It stays a while when it has nothing to keep any more: most often somebody comes. */
const lingerMs = 30_000;

/** Who may have how much of one account of a provider, and how often it is called; started by who first asks. */
export async function quota(raw: QuotaInput): Promise<void> {
  const input = checkedQuota(raw);
  let ledger = input.carried?.ledger ?? emptyLedger(input.account, input.quota ?? {});
  let calls = input.carried?.calls;
  let usedMs = Date.now();
  let applied = 0;
  const refused: string[] = [];
  const status = (): QuotaStatus => quotaStatusOf(ledger, calls, Date.now());
  const used = (): void => {
    usedMs = Date.now();
    applied += 1;
  };
  const become = (next: Ledger): void => {
    ledger = next;
    used();
    setCurrentDetails(quotaDetails(status(), refused));
  };
  const configure = (next: AccountQuota): void => {
    if (!sameBody(next, ledger.quota)) become(reconfigure(ledger, next, Date.now()));
  };
  /** A rate that is changed keeps what is left of the old one. */
  const callsAt = (rate: CallRate): Calls => ({ rate, bucket: calls?.bucket ?? fullBucket(rate, Date.now()) });

  const note = (text: string): void => {
    refused.splice(0, Math.max(0, refused.length - 4));
    refused.push(text);
    applied += 1;
  };
  const onSignal = <T>(name: string, schema: z.ZodType<T>, take: (body: T) => void): void =>
    setHandler(defineSignal<[unknown?]>(name), (body) => {
      const wrong = mistakesOf(schema, orEmpty(body));
      if (wrong.length > 0) note(`signal ${name}: ${wrong.join('; ')}`);
      else take(schema.parse(orEmpty(body)));
    });
  // Before the updates: what has come before a run's handlers is delivered as they are set.
  onSignal(quotaSignals.release, releaseQuotaBody, ({ key }) => become(release(ledger, key, Date.now())));
  onSignal(quotaSignals.stockout, stockoutBody, (body) =>
    become(stockedOut(ledger, { ...body, jitter: Math.random() }, Date.now())),
  );
  onSignal(quotaSignals.reconcile, reconcileBody, (body) => become(heal(ledger, body, Date.now())));
  onSignal(quotaSignals.configure, configureBody, (body) => {
    if (body.quota) configure(body.quota);
    if (body.rate) calls = callsAt(body.rate);
  });
  onSignal(quotaSignals.throttled, throttledBody, ({ retryAfterMs }) => {
    if (calls) calls = { ...calls, bucket: pauseCalls(calls.bucket, Date.now(), retryAfterMs) };
    used();
  });
  onUpdate(quotaUpdates.reserve, reserveBody, (body): QuotaAnswer => {
    configure(body.quota);
    const { ledger: next, answer } = reserve(ledger, body.ask, Date.now());
    become(next);
    return answer;
  });
  onUpdate(quotaUpdates.takeCalls, takeCallsBody, ({ calls: n, rate }): CallsGranted => {
    const { bucket, ...granted } = takeCalls(rate, callsAt(rate).bucket, n, Date.now());
    calls = { rate, bucket };
    used();
    return granted;
  });
  setHandler(defineQuery<QuotaStatus>(queries.status), status);
  refuseTheRest([...Object.values(quotaUpdates), ...Object.values(quotaSignals)].join(', '), note);

  /** A machine whose workflow is closed has nobody to use what it is granted. */
  async function tell({ machineId, key, refused: reason }: QuotaNews): Promise<void> {
    const [signal, body] = reason
      ? [machineSignals.quotaRefused, { key, reason }]
      : [machineSignals.quotaGranted, { key }];
    try {
      await getExternalWorkflowHandle(machineWorkflowId(machineId)).signal(signal, body);
    } catch {
      become(release(ledger, key, Date.now()));
    }
  }

  const isEmpty = (): boolean => ledger.held.length === 0 && ledger.waiting.length === 0 && ledger.news.length === 0;
  /** From then on nothing that it knows means anything. */
  const meaninglessAtMs = (): number =>
    Math.max(
      usedMs + lingerMs,
      calls ? fullAtMs(calls.rate, calls.bucket) : 0,
      ...ledger.coolDowns.map(({ untilMs, lengthMs }) => untilMs + lengthMs),
    );
  let woken = false;
  const alarm = createAlarm('the account looks again', () => (woken = true));

  return CancellationScope.nonCancellable(async () => {
    for (;;) {
      const { news } = ledger;
      if (news.length > 0) {
        ledger = { ...ledger, news: [] };
        await Promise.all(news.map(tell));
        continue;
      }
      if (isEmpty() && Date.now() >= meaninglessAtMs()) return;
      if (applied > 0 && isLong(input.tuning)) {
        // Thrown: it must stand outside any try.
        await continueAsNew<typeof quota>({ ...input, carried: { ledger, ...(calls ? { calls } : {}) } });
      }
      // For who waits for a place to cool down, or for the end.
      alarm.set(isEmpty() ? meaninglessAtMs() : coolsDownAtMs(ledger, Date.now()));
      const before = applied;
      await condition(() => woken || applied > before);
      if (woken) ledger = settle(ledger, Date.now());
      woken = false;
    }
  });
}

const isLong = ({ continueEvery }: Tuning): boolean =>
  workflowInfo().continueAsNewSuggested || workflowInfo().historyLength >= (continueEvery ?? Infinity);

/** Answered at once, by what is pure: there is nothing to wait for, and nothing can come between. */
function onUpdate<T, R>(name: string, schema: z.ZodType<T>, answer: (body: T) => R): void {
  setHandler(defineUpdate<R, [unknown]>(name), (body) => answer(checked(schema, body, name)), {
    validator: (body) => void checked(schema, body, name),
  });
}
