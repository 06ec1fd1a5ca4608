import { z } from 'zod';
import { duration } from '../contract/bundle.ts';
import { id } from '../contract/common.ts';
import { mostPoolMachines } from '../contract/pool.ts';
import { cronMistake } from '../domain/pool-schedule.ts';

const machines = z.int().min(0).max(mostPoolMachines);

/** Rules between keys are looked at even where a key by itself is wrong: all mistakes are told at once. */
const evenWhenWrong = { when: ({ value }: { readonly value: unknown }) => typeof value === 'object' && value !== null };

const periodRule = z
  .strictObject({
    cron: z.string().max(200).describe('when a period begins: minute hour day month weekday, such as `0 8 * * 1-5`'),
    timezone: z.string().max(100).describe('an IANA name (UTC)').exactOptional(),
    forMs: duration.describe('how long it is').exactOptional(),
    until: z.string().max(200).describe('in place of `forMs`: when it ends, as cron').exactOptional(),
    target: machines.describe('in place of the pool’s own; of periods that overlap the highest wins'),
  })
  .describe('periods with a target of their own')
  .superRefine((rule, context) => {
    const raise = (key: string, message: string): void => context.addIssue({ code: 'custom', path: [key], message });
    const zone = typeof rule.timezone === 'string' ? rule.timezone : undefined;
    if (zone !== undefined && cronMistake('* * * * *', zone) !== undefined) {
      raise('timezone', `${zone} is no time zone (IANA names, such as Europe/Berlin)`);
    }
    for (const key of ['cron', 'until'] as const) {
      const expression = rule[key];
      const wrong = typeof expression === 'string' ? cronMistake(expression) : undefined;
      if (wrong !== undefined) raise(key, `${wrong} (minute hour day month weekday, such as 0 8 * * 1-5)`);
    }
    if ('forMs' in rule === 'until' in rule) context.addIssue('needs one of `forMs` and `until`');
  }, evenWhenWrong);

const pool = z
  .strictObject({
    bundle: id.describe('what its machines are made of; one pool a bundle'),
    target: machines.describe('so many stand ready'),
    ceiling: machines.describe('so many exist at most, leased ones too'),
    idleMs: duration.describe('a machine that stood ready so long is replaced').exactOptional(),
    maxUses: z
      .int()
      .min(1)
      .describe('leases of one machine, where the bundle reclaims by `reload` or `reset`')
      .exactOptional(),
    schedule: z.array(periodRule).max(50).describe('periods with another target').exactOptional(),
  })
  .describe('machines of one bundle that stand ready before they are asked for')
  .superRefine(({ target, ceiling, schedule }, context) => {
    const above = (wanted: unknown): boolean =>
      typeof wanted === 'number' && typeof ceiling === 'number' && wanted > ceiling;
    const raise = (path: (string | number)[], wanted: unknown): void =>
      context.addIssue({
        code: 'custom',
        path,
        message: `${String(wanted)} machines are more than the ceiling of ${ceiling}`,
      });
    if (above(target)) raise(['target'], target);
    if (!Array.isArray(schedule)) return;
    for (const [n, rule] of schedule.entries()) if (above(rule?.target)) raise(['schedule', n, 'target'], rule.target);
  }, evenWhenWrong);

/** `pools:` of `slipway.yaml`, by name. */
export const poolsFile = z.record(id, pool).superRefine((pools, context) => {
  const byBundle = new Map<string, string>();
  for (const [name, { bundle } = { bundle: undefined }] of Object.entries(pools)) {
    if (typeof bundle !== 'string') continue;
    const other = byBundle.get(bundle);
    byBundle.set(bundle, other ?? name);
    if (other === undefined) continue;
    const message = `pool ${other} keeps machines of bundle ${bundle} already: a lease could not tell which to ask`;
    context.addIssue({ code: 'custom', path: [name, 'bundle'], message });
  }
}, evenWhenWrong);
