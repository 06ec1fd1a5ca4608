import { Cron } from 'croner';
import type { PoolPeriod, PoolPeriodRule } from './pool.ts';

/** How far ahead periods are looked for. */
const aheadMs = 8 * 86_400_000;
/** Of one rule; a schedule that changes each minute is asked for again sooner. */
const periodsLimit = 100;

const cronOf = (expression: string, timezone = 'UTC'): Cron =>
  new Cron(expression, { timezone, paused: true, mode: '5-part' });

/** What is wrong with a cron expression, or its time zone; undefined when nothing is. */
export function cronMistake(expression: string, timezone?: string): string | undefined {
  try {
    if (cronOf(expression, timezone).nextRun(new Date(0)) === null) return 'it never comes';
    return undefined;
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    // The library names its own class first.
    return said.replace(/^\w+: /, '').replace(/\. .*$/s, '');
  }
}

/**
 * The periods of a schedule from an instant on, the one in force then included, and until when they are known. By the wall
 * clock of each rule's time zone: a day on which the clock is put forward or back has its periods at the same hours. One
 * whose hour is left out that day comes when the clock has jumped; one whose hour comes twice begins at the first.
 */
export function periodsOf(
  rules: readonly PoolPeriodRule[],
  fromMs: number,
): { readonly list: readonly PoolPeriod[]; readonly knownUntilMs: number } {
  const all = rules.map((rule) => periodsOfRule(rule, fromMs));
  return {
    list: all.flatMap(({ list }) => list).toSorted((a, b) => a.fromMs - b.fromMs || a.untilMs - b.untilMs),
    knownUntilMs: Math.min(fromMs + aheadMs, ...all.map(({ knownUntilMs }) => knownUntilMs)),
  };
}

function periodsOfRule({ cron, timezone, forMs, until, target }: PoolPeriodRule, fromMs: number) {
  const begins = cronOf(cron, timezone);
  const ends = until === undefined ? undefined : cronOf(until, timezone);
  const endOf = (beginMs: number): number =>
    ends === undefined ? beginMs + (forMs ?? 0) : (ends.nextRun(new Date(beginMs))?.getTime() ?? Infinity);
  const list: PoolPeriod[] = [];
  const add = (beginMs: number): void => {
    const untilMs = Math.min(endOf(beginMs), fromMs + 400 * 86_400_000);
    if (untilMs > fromMs) list.push({ fromMs: beginMs, untilMs, target });
  };
  const [before] = begins.previousRuns(1, new Date(fromMs + 1));
  if (before) add(before.getTime());
  for (let beginMs = begins.nextRun(new Date(fromMs))?.getTime(); beginMs !== undefined;) {
    if (beginMs > fromMs + aheadMs) return { list, knownUntilMs: fromMs + aheadMs };
    if (list.length >= periodsLimit) return { list, knownUntilMs: beginMs };
    add(beginMs);
    beginMs = begins.nextRun(new Date(beginMs))?.getTime();
  }
  return { list, knownUntilMs: fromMs + aheadMs };
}
