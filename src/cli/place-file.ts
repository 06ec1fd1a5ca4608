import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { DomainError } from '../domain/failure.ts';
import { systemWords } from '../domain/system-words.ts';
import type { FileResult } from '../domain/transfer.ts';
import { unpack } from './archive.ts';

/** Read as it comes, and refused at its end when it is not what was promised. */
async function* proven(bytes: AsyncIterable<Uint8Array>, { sha256, path }: FileResult): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256');
  for await (const chunk of bytes) {
    hash.update(chunk);
    yield chunk;
  }
  const found = hash.digest('hex');
  if (found !== sha256) throw new DomainError('Internal', `${path} came as ${found}, not as ${sha256}.`);
}

/** Where it goes: a file into a folder that is there, under its own name. @param local its own name here when absent */
export async function targetOf({ path, tree }: FileResult, cwd: string, local: string | undefined): Promise<string> {
  const name = basename(path) === '~' ? 'home' : basename(path) || 'root';
  const target = resolve(cwd, local ?? name);
  const folder = await stat(target).then(
    (found) => found.isDirectory(),
    () => false,
  );
  return (folder || local?.endsWith('/')) && !tree ? join(target, name) : target;
}

/** What a place here may have against it. */
const refusals = new Set(['EACCES', 'EEXIST', 'EISDIR', 'ENOENT', 'ENOSPC', 'ENOTDIR', 'EPERM', 'EROFS']);

/**
 * Puts what was fetched in its place here: a file whole or not at all, a folder over what is there.
 * @throws DomainError InvalidRequest when it cannot be written there
 */
export async function placeFile(result: FileResult, bytes: AsyncIterable<Uint8Array>, target: string): Promise<void> {
  try {
    if (result.tree) await placeTree(result, bytes, target);
    else await placeOne(result, bytes, target);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && refusals.has(String(error.code)))) throw error;
    throw new DomainError('InvalidRequest', `${target} cannot be written: ${systemWords(error)}`, { cause: error });
  }
}

async function placeTree(result: FileResult, bytes: AsyncIterable<Uint8Array>, target: string): Promise<void> {
  await mkdir(target, { recursive: true });
  await unpack(proven(bytes, result), target);
}

async function placeOne(result: FileResult, bytes: AsyncIterable<Uint8Array>, target: string): Promise<void> {
  const part = join(dirname(target), `.${basename(target)}.${process.pid}.part`);
  try {
    const handle = await open(part, 'w', Number.parseInt(result.mode ?? '644', 8) & 0o777);
    try {
      for await (const chunk of proven(bytes, result)) await handle.writeFile(chunk);
    } finally {
      await handle.close();
    }
    await rename(part, target);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  }
}
