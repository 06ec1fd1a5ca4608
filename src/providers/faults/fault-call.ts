import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { countCall } from './call-count.ts';
import { countNames, countsVerb, settlesWithinMs, strikes } from './fault-choice.ts';
import { failureAfter, refusalBefore } from './fault-failures.ts';
import { find, type FaultFile, type FaultName, type FaultVerb, type Rule } from './fault-file.ts';
import type { FaultLine, FaultLog } from './fault-log.ts';

/** The rules that stand, and those that strike this call. */
export interface InForce {
  readonly rules: readonly Rule[];
  readonly struck: readonly Rule[];
}

/** Has the call's effect. Without a file of faults there is nothing in force. */
export type Deliver<T> = (signal: AbortSignal, now: InForce | undefined) => Promise<T>;

export interface FaultyCalls {
  call<T>(verb: FaultVerb, about: Pick<FaultLine, 'key' | 'ref'>, signal: AbortSignal, deliver: Deliver<T>): Promise<T>;
  /** Effects that are on their way still. */
  settled(): Promise<unknown>;
}

const changes = new Set<FaultVerb>(['create', 'destroy', 'reload', 'rekey', 'power', 'destroyResource']);
/** An effect whose caller was cut off comes all the same, but not for ever. */
const lateWithinMs = 60_000;

/** In the log as soon as they strike; the others when they are seen to work. */
const told = new Set<FaultName>(['lostResponse', 'failure', 'slow', 'duplicate', 'lyingDestroy']);

/** What may happen to any call on its way there and back, whatever it is about. */
export function faultyCalls(name: string, folder: string, file: FaultFile, log: FaultLog): FaultyCalls {
  const late = new Set<Promise<unknown>>();

  const struckBy = (rules: readonly Rule[], verb: FaultVerb): readonly Rule[] => {
    if (rules.length === 0) return rules;
    const names = countNames(rules);
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return rules.filter(
      (rule, index) => countsVerb(rule, verb) && strikes(rule, countCall(join(folder, names[index] ?? ''))),
    );
  };
  const comesLater = (work: () => Promise<unknown>, lateMs: number): void => {
    // Nobody hears of its answer, as after a real reset.
    const coming: Promise<unknown> = sleep(lateMs)
      .then(work)
      .catch(() => undefined)
      .finally(() => late.delete(coming));
    late.add(coming);
  };

  return {
    settled: () => Promise.all(late),

    async call(verb, about, signal, deliver) {
      const rules = file.rules(name);
      if (!rules) return deliver(signal, undefined);
      signal.throwIfAborted();
      const struck = struckBy(rules, verb);
      const what = `${verb} of provider ${name}`;
      for (const rule of struck) {
        const refusal = refusalBefore(rule, what);
        if (!refusal) continue;
        if (rule.fault !== 'reset' || !changes.has(verb)) {
          log.strike({ verb, fault: rule.fault, ...about });
        } else {
          log.strike({ verb, fault: rule.fault, ...about, untilMs: Date.now() + settlesWithinMs(rule) });
          comesLater(() => deliver(AbortSignal.timeout(lateWithinMs), { rules, struck: [] }), rule.lateMs);
        }
        throw refusal;
      }

      for (const { fault } of struck) if (told.has(fault)) log.strike({ verb, fault, ...about });
      const deliveries = [deliver(signal, { rules, struck })] as const;
      const all = find(struck, 'duplicate')
        ? ([...deliveries, deliver(signal, { rules, struck })] as const)
        : deliveries;
      const [first] = await Promise.allSettled(all);
      const slow = find(struck, 'slow');
      if (slow) await sleep(slow.delayMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      for (const rule of struck) {
        const lost = failureAfter(rule, what);
        if (lost) throw lost;
      }
      if (first.status === 'rejected') throw first.reason;
      return first.value;
    },
  };
}
