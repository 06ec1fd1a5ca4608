import { createHash } from 'node:crypto';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { BundleSpec } from '../contract/bundle.ts';
import type { Parameter } from '../domain/parameters.ts';
import { checkBundle, checkPart, listAt } from './bundle-check.ts';
import { changedMs, filesOnDisk, stampOf } from './bundle-files.ts';
import type { BundleFiles, BundleSource } from './bundle-files.ts';
import { layersOf } from './bundle-layers.ts';
import type { Layer, Lookup } from './bundle-layers.ts';
import { mergeBundles } from './bundle-merge.ts';
import type { PlacedData } from './yaml-file.ts';
import { inOrder, locate } from './yaml-mistakes.ts';
import type { Checked, Mistake } from './yaml-mistakes.ts';

/** A bundle's file, with all that it extends, that passed every check. */
export interface Bundle {
  readonly name: string;
  /** Absolute path of its file. */
  readonly file: string;
  /** Of all its files and sources: the same version is the same bundle. */
  readonly version: string;
  /** It is only there for others to extend. */
  readonly part: boolean;
  /** As it is without any value given; undefined for a part, and when a request's values are needed to make it whole. */
  readonly spec?: BundleSpec;
  readonly parameters: readonly Parameter[];
  /** As written, for `specFor`. */
  readonly data: PlacedData;
  readonly layers: readonly Layer[];
  /** The sources of its files, at the same indices; undefined where a file has `text` or `url`. */
  readonly sources: readonly (BundleSource | undefined)[];
  /** In force where the file does not say. */
  readonly defaultOutputLimitBytes: number;
}

export interface LoadOptions extends Omit<Lookup, 'files'> {
  readonly providers: readonly string[];
  readonly outputLimitBytes: number;
}

export interface Loaded {
  readonly result: Checked<Bundle>;
  /** All files that the result depends on, also those that are not there. */
  readonly watched: readonly string[];
  /** Their state when they were read. */
  readonly stamp: string;
}

const fromOf = (entry: unknown): string | undefined =>
  typeof entry === 'object' && entry !== null && 'from' in entry && typeof entry.from === 'string' && entry.from !== ''
    ? entry.from
    : undefined;

const unreadable = (file: string, name: string, error: unknown): Mistake => {
  const why = error instanceof Error ? error.message : String(error);
  return { file, line: 1, col: 1, path: '', message: `bundle ${name} cannot be read: ${why}` };
};

function versionOf(layers: readonly Layer[], sources: Bundle['sources']): string {
  const parts = [...layers.map(({ file, text }) => [file, text]), sources.map((source) => source?.sha256 ?? '')];
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 12);
}

/** Reads and checks one bundle's file with all that it names; never throws for a mistake in it. */
export async function readBundle(
  file: string,
  name: string,
  options: LoadOptions,
  files: BundleFiles,
): Promise<Checked<Bundle>> {
  let read: Awaited<ReturnType<typeof layersOf>>;
  try {
    read = await layersOf(file, { ...options, files });
  } catch (error) {
    return { ok: false, mistakes: [unreadable(file, name, error)] };
  }
  const own = read.layers.at(-1);
  // A file that YAML cannot read is no layer.
  if (own?.file !== file) return { ok: false, mistakes: inOrder(read.mistakes) };
  const data = mergeBundles(read.layers.map(({ yaml }) => yaml));
  const part = (own.yaml.value as { part?: unknown } | null)?.part === true;
  const checked = part
    ? { mistakes: checkPart(data, name, options.providers), parameters: [] }
    : checkBundle(data, name, options.providers);
  const found = await Promise.all(
    listAt(data.value, 'files').map(async (entry, index) => {
      const from = fromOf(entry);
      return from === undefined ? undefined : files.source(dirname(data.place(['files', index]).file), from);
    }),
  );
  const wrong = found.flatMap((source, index) =>
    typeof source === 'string' ? [locate(data, { path: ['files', index, 'from'], message: source })] : [],
  );
  const mistakes = [...read.mistakes, ...checked.mistakes, ...wrong];
  if (mistakes.length > 0) return { ok: false, mistakes: inOrder(mistakes) };
  const sources = found.map((source) => (typeof source === 'string' ? undefined : source));
  const { parameters } = checked;
  const spec = 'spec' in checked && checked.spec !== undefined ? { spec: checked.spec } : {};
  const { outputLimitBytes: defaultOutputLimitBytes } = options;
  const version = versionOf(read.layers, sources);
  const { layers } = read;
  return {
    ok: true,
    value: { name, file, version, part, parameters, data, layers, sources, defaultOutputLimitBytes, ...spec },
  };
}

/** A file that was changed a moment ago may be half written still: it has to stand for so long. */
const quietMs = 25;
const mostTries = 20;

/**
 * The bundle as its files stand on the disk: all of one moment, never the half of an edit. Files that do not come to rest
 * are a mistake, so that the last good version stays in force.
 */
export async function loadBundle(file: string, name: string, options: LoadOptions): Promise<Loaded> {
  for (let tries = 1; ; tries += 1) {
    const seen = new Map<string, string>();
    const look = async (path: string): Promise<void> => {
      if (!seen.has(path)) seen.set(path, await stampOf([path]));
    };
    const result = await readBundle(file, name, options, filesOnDisk(look));
    const watched = [...seen.keys()];
    const stamp = [...seen.values()].join('|');
    const sinceMs = Date.now() - (await changedMs(watched));
    if (sinceMs < quietMs && sinceMs > -1_000) await pause(quietMs);
    if ((await stampOf(watched)) === stamp) return { result, watched, stamp };
    if (tries < mostTries) continue;
    const moving = { file, line: 1, col: 1, path: '', message: `bundle ${name} changes all the time` };
    // Never the stamp of anything: the next look reads again.
    return { result: { ok: false, mistakes: [moving] }, watched, stamp: '' };
  }
}
