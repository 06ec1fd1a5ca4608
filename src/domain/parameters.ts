import { nearWords } from './near-words.ts';

export const parameterTypes = ['string', 'int', 'bool', 'enum'] as const;
export type ParameterType = (typeof parameterTypes)[number];

export type ParameterValue = string | number | boolean;
/** By name. */
export type ParameterValues = Readonly<Record<string, ParameterValue>>;

/** What a bundle lets its callers choose. */
export interface Parameter {
  readonly name: string;
  readonly type: ParameterType;
  readonly summary?: string;
  readonly default?: ParameterValue;
  /** There is no default: every request has to give it. */
  readonly required?: boolean;
  /** Of an `enum`. */
  readonly values?: readonly string[];
  /** Of a `string`: a regular expression for the whole of it. */
  readonly pattern?: string;
  /** Of an `int` its value, of a `string` its length in characters. */
  readonly min?: number;
  readonly max?: number;
}

export const parameterName = /^[a-z][a-z0-9_]{0,39}$/;
/** Of a value, in characters: what is longer goes by file. */
export const parameterLength = 4_096;

/** The environment variable that a bundle's commands see it as. */
export const parameterVariable = (name: string): string => `SLIPWAY_PARAM_${name.toUpperCase()}`;

export type Read = { readonly value: ParameterValue } | { readonly wrong: string };

/** `a, b or c` */
const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;

function shown(given: unknown): string {
  if (typeof given !== 'string') return JSON.stringify(given) ?? 'nothing';
  return `\`${given.length > 60 ? `${given.slice(0, 60)}…` : given}\``;
}

function outside(amount: number, { min, max }: Parameter, unit: string): string | undefined {
  if (min !== undefined && amount < min) return `must be at least ${min}${unit}`;
  return max !== undefined && amount > max ? `must be at most ${max}${unit}` : undefined;
}

function readText(parameter: Parameter, given: string): Read {
  const length = Array.from(given).length;
  if (length > parameterLength) return { wrong: `has ${length} characters, more than ${parameterLength}` };
  if (given.includes('\0')) return { wrong: 'must not hold a NUL' };
  const wrong = outside(length, parameter, ' characters');
  if (wrong !== undefined) return { wrong: `${wrong}, found ${length}` };
  const { pattern } = parameter;
  if (pattern !== undefined && !new RegExp(`^(?:${pattern})$`, 'u').test(given)) {
    return { wrong: `must match ${pattern}, found ${shown(given)}` };
  }
  return { value: given };
}

/** Checks one value. Whole numbers and truth values may come as text, as a command line has nothing else. */
export function readParameter(parameter: Parameter, given: unknown): Read {
  switch (parameter.type) {
    case 'int': {
      const value = typeof given === 'string' && /^-?\d{1,15}$/.test(given) ? Number(given) : given;
      if (typeof value !== 'number' || !Number.isSafeInteger(value)) {
        return { wrong: `expected a whole number, found ${shown(given)}` };
      }
      const wrong = outside(value, parameter, '');
      return wrong === undefined ? { value } : { wrong: `${wrong}, found ${value}` };
    }
    case 'bool': {
      const value = given === 'true' ? true : given === 'false' ? false : given;
      return typeof value === 'boolean' ? { value } : { wrong: `expected true or false, found ${shown(given)}` };
    }
    case 'enum': {
      const { values = [] } = parameter;
      if (typeof given === 'string' && values.includes(given)) return { value: given };
      const near = typeof given === 'string' ? nearWords(given, values)[0] : undefined;
      const meant = near === undefined ? '' : `; did you mean ${near}?`;
      return { wrong: `expected ${listed(values)}, found ${shown(given)}${meant}` };
    }
    case 'string':
      return typeof given === 'string' ? readText(parameter, given) : { wrong: `expected text, found ${shown(given)}` };
  }
}

/** The values for one lease, defaults filled in, and everything that is wrong with what was given, a sentence each. */
export function readParameters(
  declared: readonly Parameter[],
  given: Readonly<Record<string, unknown>>,
): { readonly values: ParameterValues; readonly mistakes: readonly string[] } {
  const mistakes: string[] = [];
  const values: [string, ParameterValue][] = [];
  const names = declared.map(({ name }) => name);
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const near = nearWords(name, names)[0];
    const known = names.length === 0 ? 'the bundle has none' : `known: ${names.join(', ')}`;
    mistakes.push(`unknown parameter \`${name}\`${near === undefined ? `; ${known}` : `; did you mean ${near}?`}`);
  }
  for (const parameter of declared) {
    const { name } = parameter;
    if (!Object.hasOwn(given, name)) {
      if (parameter.default !== undefined) values.push([name, parameter.default]);
      else mistakes.push(`parameter \`${name}\` is missing${parameter.summary ? ` (${parameter.summary})` : ''}`);
      continue;
    }
    const read = readParameter(parameter, given[name]);
    if ('value' in read) values.push([name, read.value]);
    else mistakes.push(`parameter \`${name}\` ${read.wrong}`);
  }
  return { values: Object.fromEntries(values), mistakes };
}
