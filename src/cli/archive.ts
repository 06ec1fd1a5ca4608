import { spawn } from 'node:child_process';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '../domain/failure.ts';
import { systemWords } from '../domain/system-words.ts';

/** tar(1) of this computer, or why it did not do its part. */
async function tar(words: readonly string[], input?: AsyncIterable<Uint8Array>): Promise<void> {
  const child = spawn('tar', words, { stdio: [input ? 'pipe' : 'ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-500)));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  ended.catch(() => undefined); // awaited below
  // A tar that has ended takes no more: what it said tells why.
  if (input && child.stdin) {
    await pipeline(Readable.from(input), child.stdin).catch((error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
    });
  }
  let code: number | null;
  try {
    code = await ended;
  } catch (cause) {
    throw new DomainError('InvalidRequest', 'There is no tar(1) here: folders travel as tar archives.', { cause });
  }
  if (code !== 0) throw new DomainError('InvalidRequest', said.trim() || `tar: exit ${code}`);
}

/** @param shown as the caller wrote it @throws DomainError InvalidRequest when there is nothing to be read */
export async function isFolder(path: string, shown: string): Promise<boolean> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new DomainError('InvalidRequest', `${shown} cannot be read: ${systemWords(cause)}.`, { cause });
  });
  // A pipe gives its bytes once, and a device has no end; an upload reads twice.
  if (!found.isFile() && !found.isDirectory()) {
    throw new DomainError('InvalidRequest', `${shown} is neither a file nor a folder.`, {
      hint: 'write what it gives to a file first, or give it to the job with --stdin.',
    });
  }
  return found.isDirectory();
}

/** Packs a folder into an archive beside nothing of the caller's, for the time of `use`. */
export async function packed<T>(folder: string, use: (archive: string) => Promise<T>): Promise<T> {
  const at = await mkdtemp(join(tmpdir(), 'slipway-tree-'));
  try {
    const archive = join(at, 'tree.tar');
    await tar(['-cf', archive, '-C', folder, '.']);
    return await use(archive);
  } finally {
    await rm(at, { recursive: true, force: true });
  }
}

/** Unpacks into the folder, over what is there, as the caller's own. */
export const unpack = (archive: AsyncIterable<Uint8Array>, folder: string): Promise<void> =>
  tar(['-xof', '-', '-C', folder], archive);
