import { basename } from 'node:path';
import type { z } from 'zod';
import { DomainError } from '../domain/failure.ts';
import { parseYaml } from './yaml-file.ts';
import type { PlacedData, YamlFile, YamlPath } from './yaml-file.ts';
import { findingsOf } from './yaml-wording.ts';
import type { Finding } from './yaml-wording.ts';

/** A mistake in a file, as a person finds it: `file:line:col  path: message`. */
export interface Mistake {
  /** Absolute. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
  /** From 1, in characters. */
  readonly col: number;
  /** `files[0].mode`; of an unknown key the map that it stands in; empty for the file as a whole. */
  readonly path: string;
  readonly message: string;
}

/** A value that passed, or all mistakes at once. */
export type Checked<T> =
  { readonly ok: true; readonly value: T } | { readonly ok: false; readonly mistakes: readonly Mistake[] };

function pathText(path: YamlPath): string {
  return path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`;
    return text === '' ? String(key) : `${text}.${String(key)}`;
  }, '');
}

interface CheckOptions {
  /** Where messages must not show what was written. */
  readonly discreet?: (path: YamlPath) => boolean;
  /** What a file with nothing in it (or only comments) stands for. */
  readonly empty?: unknown;
}

/** A finding at its place. */
export const locate = (data: PlacedData, { path, message, atKey = false }: Finding): Mistake => ({
  ...(atKey ? data.keyPlace(path) : data.place(path)),
  path: pathText(atKey ? path.slice(0, -1) : path),
  message,
});

/** What YAML itself objects to. */
export const brokenIn = (yaml: YamlFile): readonly Mistake[] => yaml.broken.map((each) => ({ ...each, path: '' }));

/** Parses and checks a YAML text. */
export function checkYaml<S extends z.ZodType>(
  file: string,
  text: string,
  schema: S,
  { discreet = () => false, empty = null }: CheckOptions = {},
): Checked<z.output<S>> {
  const yaml = parseYaml(file, text);
  const broken = brokenIn(yaml);
  if (yaml.unreadable) return { ok: false, mistakes: inOrder(broken) };
  const parsed = schema.safeParse(yaml.value ?? empty);
  const findings = parsed.success
    ? []
    : parsed.error.issues.flatMap((issue) => findingsOf({ schema, yaml, discreet }, issue));
  const mistakes = [...broken, ...findings.map((finding) => locate(yaml, finding))];
  if (parsed.success && mistakes.length === 0) return { ok: true, value: parsed.data };
  return { ok: false, mistakes: inOrder(mistakes) };
}

export const inOrder = (mistakes: readonly Mistake[]): readonly Mistake[] =>
  [...mistakes].sort((a, b) => (a.file < b.file ? -1 : Number(a.file > b.file)) || a.line - b.line || a.col - b.col);

/** One line, with the file's name only: for messages that travel. */
export const mistakeText = ({ file, line, col, path, message }: Mistake): string =>
  `${basename(file)}:${line}:${col} ${path === '' ? '' : `${path}: `}${message}`;

/** A failure's details travel through histories: what does not fit is counted. */
const mistakesTold = 10;

/** @param what the subject with its verb: ``Bundle `web` has`` */
export function mistakesFailure(what: string, mistakes: readonly Mistake[], hint: string): DomainError {
  const told = mistakes.slice(0, mistakesTold);
  const more = mistakes.length > told.length ? `; and ${mistakes.length - told.length} more` : '';
  const count = mistakes.length === 1 ? 'a mistake' : `${mistakes.length} mistakes`;
  return new DomainError('InvalidRequest', `${what} ${count}: ${told.map(mistakeText).join('; ')}${more}`, {
    hint,
    details: { mistakes: told },
  });
}
