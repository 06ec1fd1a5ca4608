import type { z } from 'zod';
import { bundleFile, wholeBundle } from '../contract/bundle.ts';
import type { BundleSpec } from '../contract/bundle.ts';
import { isMap } from '../domain/is-map.ts';
import type { Parameter, ParameterValues } from '../domain/parameters.ts';
import {
  declaredIn,
  guessedPaths,
  parameterFindings,
  probesOf,
  undeclaredPaths,
  withValues,
} from './bundle-parameters.ts';
import type { Probe } from './bundle-parameters.ts';
import type { PlacedData, YamlPath } from './yaml-file.ts';
import { inOrder, locate } from './yaml-mistakes.ts';
import type { Checked, Mistake } from './yaml-mistakes.ts';
import { findingsOf } from './yaml-wording.ts';
import type { Finding } from './yaml-wording.ts';

type Issue = z.core.$ZodIssue;

export const listAt = (data: unknown, key: string): readonly unknown[] => {
  const list = isMap(data) ? data[key] : undefined;
  return Array.isArray(list) ? list : [];
};

/** What the schema cannot know: which providers there are, and what the file is called. */
function furtherFindings(data: unknown, name: string, providers: readonly string[]): readonly Finding[] {
  const findings: Finding[] = [];
  const given = isMap(data) ? data['name'] : undefined;
  if (typeof given === 'string' && given !== name) {
    findings.push({ path: ['name'], message: `is \`${given}\`, but the file's name makes it \`${name}\`` });
  }
  for (const [n, variant] of listAt(data, 'variants').entries()) {
    const provider = isMap(variant) ? variant['provider'] : undefined;
    if (typeof provider !== 'string' || providers.includes(provider)) continue;
    const message = `${provider} is not a configured provider (${providers.join(', ')}): slipway.yaml names them`;
    findings.push({ path: ['variants', n, 'provider'], message });
  }
  return findings;
}

/** The places with the values put in; what is shown of them is not what was written. */
function lookAt(data: PlacedData, values: ParameterValues, schema: z.ZodType) {
  const value = withValues(data.value, values);
  const at = (from: unknown, path: YamlPath): unknown =>
    path.reduce<unknown>((found, key) => (found as Record<PropertyKey, unknown> | undefined)?.[key], from);
  const source = (path: YamlPath): string | undefined =>
    at(value, path) === at(data.value, path) ? data.source(path) : undefined;
  return { schema, yaml: { ...data, value, source }, discreet: () => false };
}

const isTime = (path: YamlPath): boolean => String(path.at(-1)).endsWith('Ms');

const isWithin = (path: YamlPath, part: YamlPath): boolean => part.every((key, n) => String(key) === String(path[n]));

/** Whether the issue would be there whatever the values were that are not known yet. */
function isCertain(issue: Issue, guessed: readonly YamlPath[], undeclared: readonly YamlPath[]): boolean {
  if (undeclared.some((path) => isWithin(path, issue.path))) return false;
  const below = guessed.filter((path) => isWithin(path, issue.path));
  if (below.some((path) => path.length === issue.path.length)) return issue.code === 'invalid_type';
  if (below.length > 0 && issue.code === 'invalid_union') return false;
  // Rules between durations, of which one is not known yet.
  return !(issue.code === 'custom' && isTime(issue.path) && guessed.some(isTime));
}

function probed<S extends z.ZodType>(
  data: PlacedData,
  schema: S,
  probe: Probe,
  undeclared: readonly YamlPath[],
): { readonly spec?: z.output<S>; readonly findings: readonly Finding[] } {
  const look = lookAt(data, probe.values, schema);
  const parsed = schema.safeParse(look.yaml.value ?? null);
  if (parsed.success) return { spec: parsed.data, findings: [] };
  const guessed = guessedPaths(data.value, probe);
  const certain = parsed.error.issues.filter((issue) => isCertain(issue, guessed, undeclared));
  return { findings: certain.flatMap((issue) => findingsOf(look, issue)) };
}

export interface BundleCheck {
  readonly parameters: readonly Parameter[];
  /** As it is with the defaults; undefined when that is no bundle, or when only a request's values can make it one. */
  readonly spec?: BundleSpec;
  readonly mistakes: readonly Mistake[];
}

const placed = (data: PlacedData, findings: readonly Finding[]): readonly Mistake[] => {
  const mistakes = findings.map((finding) => locate(data, finding));
  return inOrder([...new Map(mistakes.map((each) => [JSON.stringify(each), each])).values()]);
};

/** Everything that is wrong with a bundle's data, whatever values a request gives. */
export function checkBundle(data: PlacedData, name: string, providers: readonly string[]): BundleCheck {
  const parameters = declaredIn(data.value);
  const tried = probesOf(parameters).map((probe) => probed(data, wholeBundle, probe, []));
  const mistakes = placed(data, [
    ...tried.flatMap((each) => each.findings),
    ...parameterFindings(data.value),
    ...furtherFindings(data.value, name, providers),
  ]);
  const spec = tried[0]?.spec;
  return { parameters, mistakes, ...(spec === undefined ? {} : { spec }) };
}

/** Everything that is wrong with a file that others extend, whatever they say more. */
export function checkPart(data: PlacedData, name: string, providers: readonly string[]): readonly Mistake[] {
  const undeclared = undeclaredPaths(data.value);
  const tried = probesOf(declaredIn(data.value)).flatMap(
    (probe) => probed(data, bundleFile, probe, undeclared).findings,
  );
  return placed(data, [...tried, ...furtherFindings(data.value, name, providers)]);
}

/** The bundle for the values of one request, which its parameters allow. */
export function specFor(data: PlacedData, values: ParameterValues): Checked<BundleSpec> {
  const look = lookAt(data, values, wholeBundle);
  const parsed = wholeBundle.safeParse(look.yaml.value ?? null);
  if (parsed.success) return { ok: true, value: parsed.data };
  const findings = parsed.error.issues.flatMap((issue) => findingsOf(look, issue));
  return { ok: false, mistakes: inOrder(findings.map((finding) => locate(data, finding))) };
}
