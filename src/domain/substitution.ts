import type { ParameterValues } from './parameters.ts';

type Path = readonly (string | number)[];

/**
 * What `${parameter}` means in a string of a file, by where it stands.
 * - `typed`: its value, with its type where it is all there is; inside a longer string its text
 * - `text`: its text, always
 * - `item`: a word of a command: its text where it is all there is; elsewhere a mistake
 * - `never`: a mistake
 */
export type SubstitutionRule = 'typed' | 'text' | 'item' | 'never';

/** A string of the data in which a parameter is named. */
export interface Mention {
  readonly path: Path;
  readonly rule: SubstitutionRule;
  readonly text: string;
  /** Names in it, in order; of `$${name}` none. */
  readonly names: readonly string[];
  /** It is all there is. */
  readonly whole: boolean;
}

/** `${name}`, or `$${`, which stands for the text `${`. Names in capitals are a shell's own. */
const mention = /\$\$\{|\$\{([a-z][a-z0-9_]*)\}/g;
const alone = /^\$\{[a-z][a-z0-9_]*\}$/;

const namesIn = (text: string): readonly string[] =>
  [...text.matchAll(mention)].flatMap(([, name]) => (name === undefined ? [] : [name]));

function mapStrings(data: unknown, change: (text: string, path: Path) => unknown, path: Path = []): unknown {
  if (typeof data === 'string') return change(data, path);
  if (Array.isArray(data)) return data.map((each, n) => mapStrings(each, change, [...path, n]));
  if (typeof data !== 'object' || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([key, each]) => [key, mapStrings(each, change, [...path, key])]));
}

/** Every string that names a parameter, whatever its rule. */
export function mentionsIn(data: unknown, ruleAt: (path: Path) => SubstitutionRule): readonly Mention[] {
  const found: Mention[] = [];
  mapStrings(data, (text, path) => {
    const names = namesIn(text);
    if (names.length > 0) found.push({ path, rule: ruleAt(path), text, names, whole: alone.test(text) });
    return text;
  });
  return found;
}

/** The data with values for names. A name without a value stays as it is written. */
export function substituted(data: unknown, values: ParameterValues, ruleAt: (path: Path) => SubstitutionRule): unknown {
  const put = (text: string): string =>
    text.replaceAll(mention, (written, name: string | undefined) =>
      name === undefined ? '${' : Object.hasOwn(values, name) ? String(values[name]) : written,
    );
  return mapStrings(data, (text, path) => {
    const rule = ruleAt(path);
    if (rule === 'never') return text;
    if (rule === 'item') return alone.test(text.replace(/^\$\$/, '$')) ? put(text) : text;
    const name = alone.test(text) ? text.slice(2, -1) : undefined;
    if (rule === 'typed' && name !== undefined && Object.hasOwn(values, name)) return values[name];
    return put(text);
  });
}
