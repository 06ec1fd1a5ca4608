import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DomainError } from '../../domain/failure.ts';
import { download } from '../../guest/download.ts';
import { partBeside, partPrefix } from '../../host/atomic-file.ts';
import { diskFull, isFullText } from './process.ts';

export interface Digest {
  readonly algorithm: 'sha256' | 'sha512';
  readonly hex: string;
}

/** @throws DomainError InvalidRequest with both digests */
function compare(name: string, where: string, { algorithm, hex }: Digest, found: string): void {
  if (found === hex) return;
  const message = `Image ${name}: ${where} has the ${algorithm} ${found}, and slipway.yaml says ${hex}.`;
  throw new DomainError('InvalidRequest', message, {
    hint: 'Another version is served there, or the file was damaged.',
  });
}

/** @throws DomainError InvalidRequest when it is another */
export async function verifyFile(name: string, file: string, digest: Digest): Promise<void> {
  const hash = createHash(digest.algorithm);
  for await (const chunk of createReadStream(file)) hash.update(chunk as Buffer);
  compare(name, file, digest, hash.digest('hex'));
}

/**
 * Streams what the URL serves into the file, which appears when all of it is there and is what it should be. One at a time for
 * each folder: what others left of theirs is removed.
 * @throws DomainError InvalidRequest (other bytes), CapacityUnavailable (the disk is full), ProviderUnavailable (also of a
 *   server that sends nothing for 30 s)
 */
export async function fetchFile(
  name: string,
  url: string,
  digest: Digest,
  file: string,
  signal: AbortSignal,
  patience: { readonly idleMs?: number } = {},
): Promise<void> {
  const folder = dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  for (const name of await readdir(folder)) if (name.startsWith(partPrefix)) await rm(join(folder, name));
  const part = partBeside(file);
  const hash = createHash(digest.algorithm);
  try {
    const stalled = (idleMs: number): Error => new Error(`its server sent nothing for ${idleMs / 1_000} s`);
    const { response, body } = await download(url, { redirect: 'follow' }, { stalled, ...patience }, signal);
    if (!response.ok) throw new Error(`it answers ${response.status}`);
    const hashed = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
    });
    await pipeline(body, hashed, createWriteStream(part, { mode: 0o600 }), { signal });
    compare(name, url, digest, hash.digest('hex'));
    await rename(part, file);
  } catch (error) {
    await rm(part, { force: true });
    signal.throwIfAborted();
    if (error instanceof DomainError) throw error;
    const { code, message, cause } = error as NodeJS.ErrnoException & {
      readonly cause?: { readonly message?: string };
    };
    if (isFullText(code ?? '')) throw diskFull(error);
    const why = cause?.message ?? message;
    throw new DomainError('ProviderUnavailable', `Image ${name} could not be fetched from ${url}: ${why}.`, {
      cause: error,
    });
  }
}
