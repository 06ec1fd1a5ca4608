import type { z } from 'zod';
import { nearWords } from '../domain/near-words.ts';
import { knownKeys, wantsWords } from './yaml-schema.ts';
import type { PlacedData, YamlPath } from './yaml-file.ts';

/** A mistake before its place is known. */
export interface Finding {
  readonly path: YamlPath;
  readonly message: string;
  /** It is the key, not its value, that is wrong. */
  readonly atKey?: boolean;
}

export interface Look {
  readonly schema: z.core.$ZodType;
  readonly yaml: PlacedData;
  /** Where messages name kinds of values only, never what was written: somebody may have put a secret there. */
  readonly discreet: (path: YamlPath) => boolean;
}

type Issue = z.core.$ZodIssue;

const expectations: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
};

const listed = (words: readonly string[]): string =>
  words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;

function valueAt(value: unknown, path: YamlPath): unknown {
  return path.reduce<unknown>(
    (found, key) =>
      typeof found === 'object' && found !== null ? (found as Record<PropertyKey, unknown>)[key] : undefined,
    value,
  );
}

function foundAt(look: Look, path: YamlPath): string {
  const value = valueAt(look.yaml.value, path);
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  const shown = look.discreet(path) ? '' : ` ${look.yaml.source(path) ?? ''}`.trimEnd();
  if (typeof value === 'number' || typeof value === 'bigint') return `the number${shown}`;
  if (typeof value === 'boolean') return `the truth value${shown}`;
  return typeof value === 'string' ? 'text' : 'a map';
}

/** What to write instead, where that can be told. */
function advice(look: Look, expected: string, path: YamlPath): string {
  if (look.discreet(path)) return '';
  const value = valueAt(look.yaml.value, path);
  const source = look.yaml.source(path);
  if (expected === 'string' && source !== undefined && (typeof value === 'number' || typeof value === 'boolean')) {
    return `; write it quoted: '${source.replace(/^0o/, '0')}'`;
  }
  if (expected === 'array' && typeof value === 'string' && wantsWords(look.schema, path)) {
    const words = value.split(/\s+/).filter((each) => each !== '');
    if (words.length > 0 && words.every((each) => /^[\w./:=@%+~-]+$/.test(each)))
      return `; write [${words.join(', ')}]`;
  }
  return '';
}

function typeMessage(look: Look, expected: string, path: YamlPath): string {
  const wanted =
    expected === 'array' && wantsWords(look.schema, path) ? 'a list of words' : (expectations[expected] ?? expected);
  if (path.length > 0 && valueAt(look.yaml.value, path) === undefined) return `is missing; expected ${wanted}`;
  return `expected ${wanted}, found ${foundAt(look, path)}${advice(look, expected, path)}`;
}

const sizeOf = (amount: number | bigint, origin: string): string => {
  if (origin === 'string') return `${amount} characters`;
  if (origin === 'array' || origin === 'set') return `${amount} entries`;
  return String(amount);
};

/** The branch that a person most likely meant is the one that got furthest. */
function unionFindings(look: Look, branches: readonly (readonly Issue[])[], path: YamlPath): readonly Finding[] {
  const depth = (issues: readonly Issue[]): number => Math.max(0, ...issues.map((issue) => issue.path.length));
  const furthest = [...branches].sort((a, b) => depth(b) - depth(a))[0] ?? [];
  if (depth(furthest) > 0 || furthest.some((issue) => issue.code === 'unrecognized_keys')) {
    return furthest.flatMap((issue) => findingsOf(look, issue, path));
  }
  const wanted = branches
    .flatMap((issues) => issues)
    .flatMap((issue) => {
      if (issue.code === 'invalid_value') return issue.values.map(String);
      return issue.code === 'invalid_type' ? [expectations[issue.expected] ?? issue.expected] : [];
    });
  return [{ path, message: `expected ${listed([...new Set(wanted)])}, found ${quotedAt(look, path)}` }];
}

function quotedAt(look: Look, path: YamlPath): string {
  const value = valueAt(look.yaml.value, path);
  return typeof value === 'string' && !look.discreet(path) ? `\`${value.slice(0, 60)}\`` : foundAt(look, path);
}

function valueMessage(look: Look, values: readonly unknown[], path: YamlPath): string {
  const known = values.map(String);
  if (valueAt(look.yaml.value, path) === undefined) return `is missing; expected ${listed(known)}`;
  const given = valueAt(look.yaml.value, path);
  const near = typeof given === 'string' && known.length > 1 ? nearWords(given, known)[0] : undefined;
  return `expected ${listed(known)}, found ${quotedAt(look, path)}${near === undefined ? '' : `; did you mean ${near}?`}`;
}

/** zod's issue in words of the file. `base` is where a branch of a union stands. */
export function findingsOf(look: Look, issue: Issue, base: YamlPath = []): readonly Finding[] {
  const path = [...base, ...issue.path];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => {
        const near = nearWords(key, knownKeys(look.schema, path))[0];
        const meant = near === undefined ? '' : `; did you mean ${near}?`;
        return { path: [...path, key], atKey: true, message: `unknown key \`${key}\`${meant}` };
      });
    case 'invalid_key':
      return [
        { path, atKey: true, message: `key \`${String(path.at(-1))}\` ${issue.issues[0]?.message ?? 'is not valid'}` },
      ];
    case 'invalid_union':
      if (issue.message === 'Invalid input') return unionFindings(look, issue.errors, path);
      return [{ path, message: `${issue.message}, found ${quotedAt(look, path)}` }];
    case 'invalid_type':
      return [{ path, message: typeMessage(look, issue.expected, path) }];
    case 'invalid_value':
      return [{ path, message: valueMessage(look, issue.values, path) }];
    case 'too_small':
      if (!issue.message.startsWith('Too small')) return [{ path, message: issue.message }];
      return [{ path, message: `must be at least ${sizeOf(issue.minimum, issue.origin)}` }];
    case 'too_big':
      return [{ path, message: `must be at most ${sizeOf(issue.maximum, issue.origin)}` }];
    case 'invalid_format':
      return [{ path, message: `${issue.message}, found ${quotedAt(look, path)}` }];
    case 'custom':
    case 'not_multiple_of':
    case 'invalid_element':
    default:
      return [{ path, message: issue.message }];
  }
}
