import { z } from 'zod';
import { isMap } from '../domain/is-map.ts';
import { parameterName, parameterTypes, readParameter } from '../domain/parameters.ts';

const name = z
  .string()
  .regex(parameterName, 'must be lower-case letters, digits and underscore, the first a letter, at most 40');
const value = z.union([z.string(), z.number(), z.boolean()], {
  error: 'expected text, a whole number, true or false',
});

/** What a request gives, by name; the bundle says which there are and what they may be. */
export const parameterValues = z
  .record(name, value)
  .refine((values) => Object.keys(values).length <= 50, 'must be at most 50');

/** Which keys go with which types only. */
const typesOf = { values: ['enum'], pattern: ['string'], min: ['int', 'string'], max: ['int', 'string'] } as const;

/** A parameter as a bundle declares it. */
export const parameter = z
  .strictObject({
    name: name.describe('commands see it as `SLIPWAY_PARAM_` and this in capitals'),
    type: z.enum(parameterTypes).describe('its values'),
    summary: z.string().min(1).max(200).describe('a line for who leases').exactOptional(),
    default: value.describe('for leases that do not say').exactOptional(),
    required: z.boolean().describe('true: there is no default, each lease must say').exactOptional(),
    values: z.array(z.string().min(1).max(200)).min(1).max(100).describe('of an `enum`').exactOptional(),
    pattern: z
      .string()
      .min(1)
      .max(500)
      .describe('of a `string`: a regular expression for the whole of it')
      .exactOptional(),
    min: z.int().describe('of an `int` its least value, of a `string` its least length').exactOptional(),
    max: z.int().describe('of an `int` its greatest value, of a `string` its greatest length').exactOptional(),
  })
  .superRefine(
    (given, context) => {
      const raise = (path: readonly string[], message: string): void =>
        context.addIssue({ code: 'custom', path: [...path], message });
      let sound = (parameterTypes as readonly unknown[]).includes(given.type);
      const wrong = (path: readonly string[], message: string): void => {
        sound = false;
        raise(path, message);
      };
      for (const [key, types] of Object.entries(typesOf)) {
        if (!sound || !(key in given) || (types as readonly string[]).includes(given.type)) continue;
        wrong([key], `goes with type ${types.join(' or ')} only`);
      }
      if (given.type === 'enum' && !('values' in given)) wrong([], 'an enum needs `values`');
      if (Array.isArray(given.values) && new Set(given.values).size < given.values.length) {
        wrong(['values'], 'names a value twice');
      }
      if (typeof given.min === 'number' && typeof given.max === 'number' && given.min > given.max) {
        wrong(['min'], `${given.min} is more than max, ${given.max}`);
      }
      if (typeof given.pattern === 'string') {
        try {
          void new RegExp(given.pattern, 'u');
        } catch (error) {
          wrong(['pattern'], error instanceof Error ? error.message : String(error));
        }
      }
      const has = 'default' in given;
      if (has && given.required === true) raise(['required'], 'has a default: it is never missing');
      if (!has && given.required !== true) raise([], 'needs a `default`, or `required: true`');
      if (!has || !sound) return;
      const read = readParameter(given, given.default);
      if ('wrong' in read) raise(['default'], read.wrong);
      else if (read.value !== given.default) raise(['default'], `write it unquoted: ${String(read.value)}`);
    },
    { when: ({ value: given }) => isMap(given) },
  );

/** No name twice. */
export const parameterList = z
  .array(parameter)
  .max(50)
  .superRefine(
    (list, context) => {
      const names = list.map((each) => (isMap(each) ? each.name : undefined));
      for (const [n, each] of names.entries()) {
        if (each === undefined || names.indexOf(each) === n) continue;
        context.addIssue({ code: 'custom', path: [n, 'name'], message: `there is another parameter \`${each}\`` });
      }
    },
    { when: ({ value: given }) => Array.isArray(given) },
  );
