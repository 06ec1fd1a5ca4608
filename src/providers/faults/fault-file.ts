import { readFileSync, statSync } from 'node:fs';
import { z } from 'zod';
import { DomainError, failureTable, type FailureType } from '../../domain/failure.ts';

export const faultVerbs = [
  'create',
  'findByKey',
  'get',
  'list',
  'destroy',
  'reload',
  'rekey',
  'power',
  'console',
  'listResources',
  'destroyResource',
] as const;
export type FaultVerb = (typeof faultVerbs)[number];

const verb = z.enum(faultVerbs);
const verbs = z.union([verb, z.array(verb).min(1)], { error: `must be one or several of ${faultVerbs.join(', ')}` });
const ms = z.int().min(0).max(86_400_000);
const rate = z.number().min(0).max(1);

/** Which calls are struck, counted over all processes and restarts: by script (`skip`, `count`, `of`) or by `rate`. */
const which = {
  /** This many calls are let by first. */
  skip: z.int().min(0).exactOptional(),
  /** The first `count` of each `of` calls are struck (`of` absent: of all calls; both absent: every call). */
  count: z.int().min(1).exactOptional(),
  of: z.int().min(1).exactOptional(),
  /** In place of `count`: each call is struck with this probability, decided by `seed` and the number of the call. */
  rate: rate.exactOptional(),
  seed: z.int().exactOptional(),
  /** Free. A rule of another label has a count of its own. */
  label: z.string().max(100).exactOptional(),
};

const rules = [
  /** The call has its effect; its answer never comes. */
  z.strictObject({ fault: z.literal('lostResponse'), verb: verbs, ...which }),
  /** HTTP 429: no effect. */
  z.strictObject({ fault: z.literal('rateLimited'), verb: verbs, retryAfterMs: ms.exactOptional(), ...which }),
  /** HTTP 500: no effect. */
  z.strictObject({ fault: z.literal('serverError'), verb: verbs, ...which }),
  /** Any other failure of the table, such as a stockout. */
  z.strictObject({
    fault: z.literal('failure'),
    verb: verbs,
    type: z.enum(Object.keys(failureTable) as [FailureType, ...FailureType[]]),
    when: z.enum(['before', 'after']),
    retryAfterMs: ms.exactOptional(),
    ...which,
  }),
  /** The connection is reset at once; the effect of a call that changes something comes `lateMs` later all the same. */
  z.strictObject({ fault: z.literal('reset'), verb: verbs, lateMs: ms.default(0), ...which }),
  /** The answer comes `delayMs` after the effect. */
  z.strictObject({ fault: z.literal('slow'), verb: verbs, delayMs: ms, ...which }),
  /** The call is delivered twice, at the same time. */
  z.strictObject({ fault: z.literal('duplicate'), verb: verbs, ...which }),
  /** For `forMs` from a struck create on, `findByKey` and `get` say that there is no such machine. */
  z.strictObject({ fault: z.literal('notVisibleYet'), forMs: ms, ...which }),
  /** A struck list leaves out what is younger than `forMs`. */
  z.strictObject({ fault: z.literal('listLag'), forMs: ms, ...which }),
  /** A struck destroy answers that all is well and does nothing. */
  z.strictObject({ fault: z.literal('lyingDestroy'), ...which }),
  /** From a struck destroy on the machine is `destroying`, and nothing destroys it; for `forMs`, or while this rule stands. */
  z.strictObject({ fault: z.literal('stuckDestroying'), forMs: ms.exactOptional(), ...which }),
  /** The provider keeps no keys: each create makes a machine, and `idempotentCreate` is `none`. */
  z.strictObject({ fault: z.literal('forgetKeys') }),
  /** `get` names another way in: through a proxy. Chosen by machine, not by call. */
  z.strictObject({
    fault: z.literal('detour'),
    address: z.string().min(1).exactOptional(),
    port: z.int().min(1).max(65_535).exactOptional(),
    rate: rate.exactOptional(),
    seed: z.int().exactOptional(),
  }),
] as const;

export type Rule = z.output<(typeof rules)[number]>;
export type FaultName = Rule['fault'];
export type RuleOf<Name extends FaultName> = Extract<Rule, { readonly fault: Name }>;
export const faultNames: readonly FaultName[] = rules.map(({ shape }) => shape.fault.value);

export const find = <Name extends FaultName>(rules: readonly Rule[], fault: Name): RuleOf<Name> | undefined =>
  rules.find((rule): rule is RuleOf<Name> => rule.fault === fault);

const rule = z
  .discriminatedUnion('fault', [...rules], {
    error: ({ code, input }) => (code === 'invalid_union' ? unknownFault(input) : undefined),
  })
  .superRefine((value, context) => {
    const has = (key: string): boolean => key in value;
    if (has('count') && has('rate')) context.addIssue('has both `count` and `rate`: only one of them can be');
    if (has('of') && !has('count')) context.addIssue('`of` goes with `count` only');
    if (has('seed') && !has('rate')) context.addIssue('`seed` goes with `rate` only');
  });

function unknownFault(input: unknown): string {
  const given = (input as { readonly fault?: unknown } | null)?.fault;
  if (given === 'addressReuse')
    return 'fault addressReuse: which address a machine gets is the provider’s own; `local` has a knob of that name';
  return `fault must be one of ${faultNames.join(', ')}`;
}

const schema = z.record(z.string(), z.array(rule));

export interface FaultFile {
  /** The rules for one provider as the file stands now; undefined when there is no file. @throws DomainError InvalidRequest */
  rules(provider: string): readonly Rule[] | undefined;
}

/**
 * `faults.json` of the state folder, by name of provider. A look costs one stat; the file is read again when it has changed.
 * @param providers names that are configured
 */
export function faultFile(path: string, providers: readonly string[]): FaultFile {
  let stamp = '';
  let held: Readonly<Record<string, readonly Rule[]>> | DomainError = {};
  return {
    rules(provider) {
      const found = statSync(path, { throwIfNoEntry: false, bigint: true });
      if (!found) return undefined;
      const now = `${found.ino} ${found.size} ${found.mtimeNs}`;
      if (now !== stamp) held = parsed(path, providers);
      stamp = now;
      if (held instanceof DomainError) throw held;
      return held[provider] ?? [];
    },
  };
}

function parsed(path: string, providers: readonly string[]): Readonly<Record<string, readonly Rule[]>> | DomainError {
  const wrong = (text: string, cause?: unknown): DomainError =>
    new DomainError('InvalidRequest', `${path}: ${text}`, { hint: 'Mend the file or remove it.', cause });
  let json: unknown;
  try {
    json = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    // Removed between the look and the reading.
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    return wrong('is not JSON', error);
  }
  const result = schema.safeParse(json);
  const mistakes = (result.error?.issues ?? []).map(({ path, message }) => `${path.join('.') || 'file'}: ${message}`);
  if (result.success) {
    for (const name of Object.keys(result.data))
      if (!providers.includes(name)) mistakes.push(`${name}: no such provider (${providers.join(', ')})`);
    if (mistakes.length === 0) return result.data;
  }
  return wrong(mistakes.join('; '));
}
