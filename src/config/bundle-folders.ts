import { readdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DomainError } from '../domain/failure.ts';
import { idPattern, idRule } from '../domain/ids.ts';
import type { Mistake } from './yaml-mistakes.ts';

/** The bundles that come with the package. */
export const packageBundlesFolder = (): string => fileURLToPath(new URL('../../bundles', import.meta.url));

const extension = '.yaml';

export interface Found {
  readonly name: string;
  readonly file: string;
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith('.'))
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw new DomainError('Internal', `Could not list the bundles in ${folder}.`, {
      hint: 'It must be a folder that this user may read.',
      cause: error,
    });
  }
}

/** A file that looks like a bundle and cannot be one. */
function wrongName(folder: string, fileName: string): Mistake | undefined {
  const raise = (message: string): Mistake => ({ file: join(folder, fileName), line: 1, col: 1, path: '', message });
  if (fileName.endsWith('.yml')) return raise(`is not read; rename it to ${fileName.replace(/\.yml$/, extension)}`);
  if (!fileName.endsWith(extension) || idPattern.test(fileName.slice(0, -extension.length))) return undefined;
  return raise(`is no bundle's name: ${idRule}`);
}

/**
 * Folders of bundles: the first one that has a bundle wins. A missing folder is an empty one; in a clone of this repository
 * the operator's is the package's.
 */
export function bundleFolders(given: readonly string[]) {
  const folders = [...new Set(given.map((folder) => resolve(folder)))];
  const bundlesIn = async (folder: string): Promise<readonly Found[]> => {
    const fileNames = await namesIn(folder);
    const bases = fileNames.filter((each) => each.endsWith(extension)).map((each) => each.slice(0, -extension.length));
    return bases
      .filter((name) => idPattern.test(name))
      .map((name) => ({ name, file: join(folder, `${name}${extension}`) }));
  };
  return {
    /** Where a bundle of this name may lie, best first. */
    candidates: (name: string): readonly string[] => folders.map((folder) => join(folder, `${name}${extension}`)),
    /** Of each name the one that wins. */
    async visible(): Promise<readonly Found[]> {
      const byName = new Map<string, Found>();
      for (const folder of folders) {
        for (const found of await bundlesIn(folder)) if (!byName.has(found.name)) byName.set(found.name, found);
      }
      return [...byName.values()].sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    /** Also those that another one shadows. */
    all: async (): Promise<readonly Found[]> => (await Promise.all(folders.map(bundlesIn))).flat(),
    async wrongNames(): Promise<readonly Mistake[]> {
      const found = await Promise.all(
        folders.map(async (folder) => (await namesIn(folder)).flatMap((name) => wrongName(folder, name) ?? [])),
      );
      return found.flat();
    },
  };
}
