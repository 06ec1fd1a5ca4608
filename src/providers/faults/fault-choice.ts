import { createHash } from 'node:crypto';
import type { FaultName, FaultVerb, Rule } from './fault-file.ts';

/** Whether a rule counts the calls of this verb. */
export function countsVerb(rule: Rule, verb: FaultVerb): boolean {
  if ('verb' in rule) return typeof rule.verb === 'string' ? rule.verb === verb : rule.verb.includes(verb);
  return verbOf[rule.fault] === verb;
}

/** Of the faults that are about one verb; the others are of no call. */
const verbOf: Partial<Record<FaultName, FaultVerb>> = {
  notVisibleYet: 'create',
  listLag: 'list',
  lyingDestroy: 'destroy',
  stuckDestroying: 'destroy',
};

/** Pure. @param call its number among those that the rule counts, from 1 */
export function strikes(rule: Rule, call: number): boolean {
  if (rule.fault === 'forgetKeys' || rule.fault === 'detour') return false;
  const { skip = 0, count, of, rate } = rule;
  const n = call - 1 - skip;
  if (n < 0) return false;
  if (rate !== undefined) return chance(rule, String(call)) < rate;
  return count === undefined || (of === undefined ? n : n % of) < count;
}

/** In [0, 1): the same for the same rule and the same thing, in every process. */
export function chance(rule: Rule, thing: string): number {
  const digest = createHash('sha256')
    .update(`${JSON.stringify(rule)}\n${thing}`)
    .digest();
  return digest.readUInt32BE() / 4_294_967_296;
}

/** Names the count of each rule: the same over restarts and for a file that is written anew; equal rules count apart. */
export function countNames(rules: readonly Rule[]): readonly string[] {
  const seen = new Map<string, number>();
  return rules.map((rule) => {
    const text = JSON.stringify(rule);
    const before = seen.get(text) ?? 0;
    seen.set(text, before + 1);
    const digest = createHash('sha256').update(`${before}\n${text}`).digest('hex').slice(0, 16);
    return `${rule.fault}-${digest}`;
  });
}

/** From when a call that was cut off has begun until its effect is there. */
const callTakesMs = 500;

/** What an honest provider with this fault would say of itself. */
export function settlesWithinMs(rule: Rule): number {
  if (rule.fault === 'reset') return rule.lateMs + callTakesMs;
  return rule.fault === 'notVisibleYet' || rule.fault === 'listLag' ? rule.forMs : 0;
}
