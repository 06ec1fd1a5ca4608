import { basename } from 'node:path';
import { idPattern } from '../domain/ids.ts';
import { isMap } from '../domain/is-map.ts';
import { nearWords } from '../domain/near-words.ts';
import type { BundleFiles } from './bundle-files.ts';
import { parseYaml } from './yaml-file.ts';
import type { PlacedData, YamlFile, YamlPath } from './yaml-file.ts';
import { brokenIn, locate } from './yaml-mistakes.ts';
import type { Mistake } from './yaml-mistakes.ts';

/** One file of a bundle. */
export interface Layer {
  readonly file: string;
  readonly text: string;
  readonly yaml: YamlFile;
}

export interface Layers {
  /** Those that it extends first, itself last, each once. */
  readonly layers: readonly Layer[];
  readonly mistakes: readonly Mistake[];
}

export interface Lookup {
  readonly files: BundleFiles;
  /** The files that may be the bundle of this name, the first one that is there wins. */
  readonly candidates: (name: string) => readonly string[];
  /** For near ones. */
  readonly names: () => Promise<readonly string[]>;
}

/** More is hard to follow, for people. */
const deepest = 5;

/** The names that a file extends, each with its place. What is no name is the schema's to refuse. */
function extendsIn(value: unknown): readonly { readonly name: string; readonly path: YamlPath }[] {
  const given = isMap(value) ? value['extends'] : undefined;
  const list: readonly unknown[] = Array.isArray(given) ? given : [given];
  return list.flatMap((name, n) =>
    typeof name === 'string' && idPattern.test(name)
      ? [{ name, path: Array.isArray(given) ? ['extends', n] : ['extends'] }]
      : [],
  );
}

const nameOf = (file: string): string => basename(file, '.yaml');

/** The file of a bundle with all that it extends. @throws Error when the file itself cannot be read */
export async function layersOf(file: string, lookup: Lookup): Promise<Layers> {
  const layers: Layer[] = [];
  const mistakes: Mistake[] = [];

  const find = async (name: string, extending: string): Promise<{ file: string; text: string } | undefined> => {
    for (const candidate of lookup.candidates(name)) {
      // One that extends its own name means the one that it shadows.
      const text = candidate === extending ? undefined : await lookup.files.read(candidate);
      if (text !== undefined) return { file: candidate, text };
    }
    return undefined;
  };

  const refusal = async (name: string, found: { file: string } | undefined, chain: readonly string[]) => {
    if (found === undefined) {
      const near = nearWords(name, await lookup.names())[0];
      return `there is no bundle \`${name}\`${near === undefined ? '' : `; did you mean ${near}?`}`;
    }
    const way = [...chain, found.file].map(nameOf).join(' → ');
    if (chain.includes(found.file)) return `leads back to itself: ${way}`;
    return chain.length >= deepest ? `goes deeper than ${deepest}: ${way}` : undefined;
  };

  const add = async (at: string, text: string, chain: readonly string[]): Promise<void> => {
    const yaml = parseYaml(at, text);
    mistakes.push(...brokenIn(yaml));
    if (yaml.unreadable) return;
    for (const { name, path } of extendsIn(yaml.value)) {
      const found = await find(name, at).catch((error: unknown) =>
        error instanceof Error ? error.message : String(error),
      );
      if (typeof found === 'string') {
        mistakes.push(locate(yaml, { path, message: `\`${name}\` cannot be read: ${found}` }));
        continue;
      }
      const message = await refusal(name, found, chain);
      if (message !== undefined) mistakes.push(locate(yaml, { path, message }));
      else if (found && !layers.some((layer) => layer.file === found.file)) {
        await add(found.file, found.text, [...chain, found.file]);
      }
    }
    layers.push({ file: at, text, yaml });
  };

  const text = await lookup.files.read(file);
  if (text === undefined) throw new Error('it is not there any more');
  await add(file, text, [file]);
  const wrong = layers.filter(({ yaml }, n) => n < layers.length - 1 && !isMap(yaml.value));
  mistakes.push(...wrong.map(({ yaml }) => locate(yaml as PlacedData, { path: [], message: 'expected a map' })));
  return { layers, mistakes };
}
