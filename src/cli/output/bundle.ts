import type { BundleDetail } from '../../contract/bundle-views.ts';
import type { Parameter } from '../../domain/parameters.ts';
import { harmless, oneLine } from './table.ts';

type Entry = Readonly<Record<string, unknown>>;

const entriesOf = (value: unknown): readonly Entry[] => (Array.isArray(value) ? (value as readonly Entry[]) : []);
const text = (value: unknown): string => oneLine(typeof value === 'string' ? value : JSON.stringify(value));

/** `size  enum  small, large · default small · How much` */
function parameterLine(parameter: Parameter): string {
  const { name, type, summary, values, pattern, min, max } = parameter;
  const bounds = [min === undefined ? '' : `from ${min}`, max === undefined ? '' : `to ${max}`].filter(Boolean);
  return [
    `${name}  ${type}${values ? ` (${values.join(', ')})` : ''}`,
    ...(bounds.length > 0 ? [bounds.join(' ')] : []),
    ...(pattern === undefined ? [] : [`like ${pattern}`]),
    parameter.default === undefined ? 'required' : `default ${JSON.stringify(parameter.default)}`,
    ...(summary === undefined ? [] : [summary]),
  ].join(' · ');
}

function variantLine({ provider, ...own }: Entry): string {
  const rest = Object.entries(own).map(([key, value]) => `${key} ${text(value)}`);
  return [text(provider), ...rest].join(' · ');
}

const stepsOf = ({ files, commands }: Entry): readonly string[] => [
  ...entriesOf(files).map(({ path, mode }) => `${text(path)}${mode === undefined ? '' : ` ${text(mode)}`}`),
  ...entriesOf(commands).map(({ title, run, shell }) => text(title ?? (Array.isArray(run) ? run.join(' ') : shell))),
];

/** Keys that say how long and how often, as the file has them. */
const limitKeys = ['readyWithinMs', 'attempts', 'lease', 'outputLimitBytes', 'reclaim', 'resetLeaves'] as const;

function labelled(label: string, lines: readonly string[]): readonly string[] {
  return lines.map((line, n) => `  ${(n === 0 ? label : '').padEnd(10)} ${harmless(line)}`);
}

/** A bundle for `bundle show`: what it lets one choose, makes, does, and when it counts as ready. */
export function bundleStory({ name, file, files = [file], ...bundle }: BundleDetail): string {
  const { summary, version, parameters, recipe = {} } = bundle;
  const limits = limitKeys.flatMap((key) => (key in recipe ? [`${key} ${text(recipe[key])}`] : []));
  return [
    `${name}${version === undefined ? '' : `@${version}`}${summary === undefined ? '' : ` · ${harmless(summary)}`}`,
    ...labelled(files.length > 1 ? 'files' : 'file', files),
    ...labelled('parameters', parameters.map(parameterLine)),
    ...labelled('variants', entriesOf(recipe['variants']).map(variantLine)),
    ...labelled('steps', stepsOf(recipe)),
    ...labelled('ready', 'ready' in recipe ? [text(recipe['ready'])] : []),
    ...labelled('limits', limits),
  ].join('\n');
}
