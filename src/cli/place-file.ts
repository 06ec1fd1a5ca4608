import { createHash } from 'node:crypto';
import { mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DomainError } from '../domain/failure.ts';
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

/** Puts what was fetched in its place here: a file whole or not at all, a folder over what is there. */
export async function placeFile(result: FileResult, bytes: AsyncIterable<Uint8Array>, target: string): Promise<void> {
  if (result.tree) {
    await mkdir(target, { recursive: true });
    return unpack(proven(bytes, result), target);
  }
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
    if (error instanceof Error && 'code' in error && (error.code === 'EISDIR' || error.code === 'ENOENT')) {
      throw new DomainError('InvalidRequest', `${target} cannot be written: ${error.message}`, { cause: error });
    }
    throw error;
  }
}
