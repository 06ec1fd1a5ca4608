import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { isAbsolute, resolve, sep } from 'node:path';
import { systemWords } from '../domain/system-words.ts';

/** A file beside a bundle that a `from:` names, as it was when the bundle was loaded. */
export interface BundleSource {
  readonly path: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** Where the files of bundles are read from: the disk, or a version of them that was kept. */
export interface BundleFiles {
  /** Undefined when there is no such file. @throws Error that says why it cannot be read */
  read(file: string): Promise<string | undefined>;
  /** The source, or why it cannot be one. */
  source(folder: string, from: string): Promise<BundleSource | string>;
}

/** Larger ones are no recipe but data. */
const bundleBytesLimit = 1_048_576;

const codeOf = (error: unknown): unknown => (error instanceof Error && 'code' in error ? error.code : undefined);
const isMissing = (error: unknown): boolean => codeOf(error) === 'ENOENT' || codeOf(error) === 'ENOTDIR';

/** Tells any change of the files, also one within the same millisecond and one of the same size. */
export async function stampOf(paths: readonly string[]): Promise<string> {
  const parts = await Promise.all(
    paths.map(async (path) => {
      const found = await stat(path, { bigint: true }).catch(() => undefined);
      return found === undefined ? 'absent' : [found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':');
    }),
  );
  return parts.join('|');
}

/** When the youngest of the files was changed, in epoch ms; 0 when none is there. */
export async function changedMs(paths: readonly string[]): Promise<number> {
  const times = await Promise.all(
    paths.map((path) =>
      stat(path).then(
        ({ mtimeMs }) => mtimeMs,
        () => 0,
      ),
    ),
  );
  return Math.max(0, ...times);
}

async function hashFile(path: string): Promise<{ sha256: string; bytes: number }> {
  const hash = createHash('sha256');
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1_048_576 })) {
    hash.update(chunk as Buffer);
    bytes += (chunk as Buffer).length;
  }
  return { sha256: hash.digest('hex'), bytes };
}

/** Links are followed before it is asked whether a source lies below its bundle's folder. */
async function inspectSource(folder: string, from: string): Promise<BundleSource | string> {
  if (isAbsolute(from)) return 'must be relative to the bundle';
  const wanted = resolve(folder, from);
  if (!wanted.startsWith(`${folder}${sep}`)) return `${from} lies outside the bundle's folder`;
  try {
    const [root, path] = [await realpath(folder), await realpath(wanted)];
    if (!path.startsWith(`${root}${sep}`)) return `${from} leads outside the bundle's folder`;
    if (!(await stat(path)).isFile()) return `${from} is no file`;
    return { path, ...(await hashFile(path)) };
  } catch (error) {
    if (isMissing(error)) return `${from} is not there`;
    return `${from} cannot be read: ${systemWords(error)}`;
  }
}

/** @param look told of every path before it is read */
export const filesOnDisk = (look: (path: string) => Promise<void>): BundleFiles => ({
  async read(file) {
    await look(file);
    try {
      const { size } = await stat(file);
      if (size > bundleBytesLimit) throw new Error(`it has ${size} bytes, more than ${bundleBytesLimit}`);
      return await readFile(file, 'utf8');
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw error;
    }
  },
  async source(folder, from) {
    await look(resolve(folder, from));
    return inspectSource(folder, from);
  },
});
