import { parameter } from '../contract/parameters.ts';
import { isMap } from '../domain/is-map.ts';
import { nearWords } from '../domain/near-words.ts';
import { parameterVariable } from '../domain/parameters.ts';
import type { Parameter, ParameterValue, ParameterValues } from '../domain/parameters.ts';
import { mentionsIn, substituted } from '../domain/substitution.ts';
import type { Mention, SubstitutionRule } from '../domain/substitution.ts';
import type { Finding } from './yaml-wording.ts';

type Path = readonly PropertyKey[];

const entryAt = (data: unknown, list: string, index: unknown): Readonly<Record<string, unknown>> => {
  const entries = isMap(data) ? data[list] : undefined;
  const entry: unknown = Array.isArray(entries) ? entries[Number(index)] : undefined;
  return isMap(entry) ? entry : {};
};

/** They are read before anybody has given a value. */
const beforeValues: ReadonlySet<unknown> = new Set(['name', 'summary', 'part', 'extends', 'parameters']);

/** Its files and scripts are written, and filled in, as a bundle's own files and commands are. */
function withinUserData(data: unknown, [, section, ...rest]: Path): { readonly data: unknown; readonly path: Path } {
  const { files, scripts: commands } = (isMap(data) && isMap(data['userData']) ? data['userData'] : {}) as Record<
    string,
    unknown
  >;
  return { data: { files, commands }, path: [section === 'scripts' ? 'commands' : (section ?? ''), ...rest] };
}

/** Values go where they are typed, or one word by itself: never into a text that a shell reads. */
const rulesOf =
  (data: unknown) =>
  (path: Path): SubstitutionRule => {
    const [top, index, key] = path;
    if (beforeValues.has(top)) return 'never';
    if (top === 'userData') {
      // cloud-init's own words: which of them a shell reads is not ours to know.
      if (index === 'raw') return 'never';
      const within = withinUserData(data, path);
      return rulesOf(within.data)(within.path);
    }
    if (top === 'ready') return path.includes('command') ? 'item' : 'typed';
    if (top === 'variants') return key === 'provider' ? 'never' : 'typed';
    if (top === 'commands') {
      if (key === 'run') return 'item';
      return key === 'shell' ? 'never' : key === 'env' || key === 'title' ? 'text' : 'typed';
    }
    if (top !== 'files') return 'typed';
    if (key === 'from') return 'never';
    return key !== 'text' ? 'typed' : entryAt(data, 'files', index)['substitute'] === true ? 'text' : 'never';
  };

/** The data of a bundle for these values. */
export const withValues = (data: unknown, values: ParameterValues): unknown => substituted(data, values, rulesOf(data));

/** Those of the declared parameters that are sound: the others are mistakes of their own. */
export function declaredIn(data: unknown): readonly Parameter[] {
  const list = isMap(data) ? data['parameters'] : undefined;
  return (Array.isArray(list) ? list : []).flatMap((each) => {
    const checked = parameter.safeParse(each);
    return checked.success ? [checked.data] : [];
  });
}

/** Also of those that are not sound otherwise. */
const declaredNames = (data: unknown): readonly string[] => {
  const list = isMap(data) ? data['parameters'] : undefined;
  return (Array.isArray(list) ? list : []).flatMap((each: unknown) =>
    isMap(each) && typeof each['name'] === 'string' ? [each['name']] : [],
  );
};

/** Parameters that are not declared, and declared ones where no value is put. */
export function parameterFindings(data: unknown): readonly Finding[] {
  const names = declaredNames(data);
  return mentionsIn(data, rulesOf(data)).flatMap((mention) => {
    const message = mistakeOf(data, mention, names);
    return message === undefined ? [] : [{ path: mention.path, message }];
  });
}

function mistakeOf(data: unknown, mention: Mention, declared: readonly string[]): string | undefined {
  const { path, rule, text, whole } = mention;
  const known = mention.names.find((name) => declared.includes(name));
  if (rule === 'never' || (rule === 'item' && !whole)) {
    return known === undefined ? undefined : misplaced(data, path, known);
  }
  const unknown = mention.names.find((name) => !declared.includes(name));
  if (unknown !== undefined) {
    const near = nearWords(unknown, declared)[0];
    const meant = near === undefined ? `; write $\${${unknown}} for that text` : `; did you mean ${near}?`;
    return `there is no parameter \`${unknown}\`${meant}`;
  }
  const [top, , key] = path[0] === 'userData' ? path.slice(1) : path;
  if (top === 'files' && key === 'text' && text.startsWith('#!')) {
    return `\`\${${known}}\` is not put into a script: let a command give it as an argument or variable`;
  }
  return undefined;
}

function misplaced(data: unknown, path: Path, name: string): string | undefined {
  if (path[0] === 'userData') {
    const within = withinUserData(data, path);
    return misplaced(within.data, within.path, name);
  }
  const [top, index, key] = path;
  const what = `\`\${${name}}\``;
  const variable = `"$${parameterVariable(name)}"`;
  if (top === 'commands' && key === 'shell') return `${what} is not put into shell text; write ${variable}`;
  if (top === 'ready' || key === 'run') {
    return `${what} must be an item by itself; in a shell's text write ${variable}`;
  }
  if (top !== 'files' || key !== 'text') return `${what} is not put in here`;
  if (entryAt(data, 'files', index)['substitute'] === false) return undefined;
  return `holds ${what}: say substitute: true to have its value there, or substitute: false to keep the text`;
}

/** Values to check a bundle with before anybody has given any. */
export interface Probe {
  readonly values: ParameterValues;
  /** Without a default, and with more possible values than can be tried. */
  readonly guessed: ReadonlySet<string>;
}

function sampleOf({ type, values, min, max }: Parameter): ParameterValue {
  switch (type) {
    case 'int':
      return min ?? max ?? 1;
    case 'bool':
      return false;
    case 'enum':
      return values?.[0] ?? '';
    case 'string':
      return 'x'.repeat(Math.max(1, min ?? 1));
  }
}

/** Every value of the parameters that have few, each beside the defaults of the others. */
export function probesOf(parameters: readonly Parameter[]): readonly Probe[] {
  const guessed = new Set(
    parameters
      .filter((each) => each.default === undefined && (each.type === 'string' || each.type === 'int'))
      .map(({ name }) => name),
  );
  const first = Object.fromEntries(parameters.map((each) => [each.name, each.default ?? sampleOf(each)]));
  const others: ParameterValues[] = [];
  for (const { name, type, values = [] } of parameters) {
    const possible = type === 'bool' ? [true, false] : type === 'enum' ? values : [];
    for (const value of possible) if (value !== first[name]) others.push({ ...first, [name]: value });
  }
  return [first, ...others].map((values) => ({ values, guessed }));
}

/** Where a guessed value stands: only that its type is wrong can be told there. */
export function guessedPaths(data: unknown, { guessed }: Probe): readonly Path[] {
  return mentionsIn(data, rulesOf(data))
    .filter(({ names }) => names.some((name) => guessed.has(name)))
    .map(({ path }) => path);
}

/** Where a parameter stands that only who extends this file declares. */
export function undeclaredPaths(data: unknown): readonly Path[] {
  const declared = declaredNames(data);
  return mentionsIn(data, rulesOf(data))
    .filter(({ names }) => names.some((name) => !declared.includes(name)))
    .map(({ path }) => path);
}
