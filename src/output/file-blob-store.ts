import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rename, rm, stat, utimes } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DomainError } from '../domain/failure.ts';
import { partBeside, partPrefix, syncFolder } from '../host/atomic-file.ts';
import { noneIfMissing } from '../host/missing.ts';
import { createBlobHolds } from './blob-holds.ts';
import { diskFailure, errorCode } from './disk-failure.ts';
import type { BlobStore } from './output-store.ts';

const digestPattern = /^[0-9a-f]{64}$/;
/** An upload that is older than this and still a part was cut off by a crash. */
const strayPartMs = 86_400_000;
/** A use is noted as the file's time of change, not more often than this: expiry counts days. */
const useEveryMs = 3_600_000;

function assertDigest(sha256: string): void {
  if (digestPattern.test(sha256)) return;
  throw new DomainError('InvalidRequest', `${JSON.stringify(sha256.slice(0, 80))} is no SHA-256.`, {
    hint: 'A blob is named by 64 lower-case hex digits.',
  });
}

async function removeStrayParts(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith(partPrefix)) continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined);
    if (found !== undefined && found.mtimeMs < Date.now() - strayPartMs) await rm(path, { force: true });
  }
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/** Writes the body to the part file, flushed; answers digest and size. A failure of the body itself passes as it is. */
async function receive(part: string, body: AsyncIterable<Uint8Array>, limitBytes: number, name: string) {
  const hash = createHash('sha256');
  const onDisk = async <T>(work: Promise<T>): Promise<T> =>
    work.catch((error: unknown) => {
      throw diskFailure(`Could not store blob ${name}`, part, error);
    });
  let bytes = 0;
  const handle = await onDisk(open(part, 'wx', 0o600));
  try {
    for await (const chunk of body) {
      bytes += chunk.length;
      if (bytes > limitBytes) {
        throw new DomainError('InvalidRequest', `Blob ${name} is larger than the limit of ${limitBytes} bytes.`, {
          hint: 'Fetch it in the guest by URL, or split it.',
        });
      }
      hash.update(chunk);
      await onDisk(handle.writeFile(chunk));
    }
    await onDisk(handle.sync());
  } finally {
    await handle.close();
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** The blob store in a folder: `<root>/<sha256>`, 0600, complete or not there; `<root>/held/` says who needs which. */
export function createFileBlobStore(root: string): BlobStore {
  const folder = resolve(root);
  const holds = createBlobHolds(join(folder, 'held'));
  let ready: Promise<void> | undefined;

  const prepare = async (): Promise<void> => {
    try {
      await mkdir(folder, { recursive: true, mode: 0o700 });
      await removeStrayParts(folder);
    } catch (error) {
      ready = undefined;
      throw diskFailure('Could not make a place for blobs', folder, error);
    }
  };
  const pathOf = (sha256: string): string => {
    assertDigest(sha256);
    return join(folder, sha256);
  };
  const find = async (sha256: string): Promise<{ path: string; bytes: number }> => {
    const path = pathOf(sha256);
    try {
      const { size, mtimeMs } = await stat(path);
      const now = Date.now();
      if (mtimeMs < now - useEveryMs) await utimes(path, now / 1_000, now / 1_000);
      return { path, bytes: size };
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw diskFailure(`Could not look at blob ${sha256}`, path, error);
      throw new DomainError('NotFound', `There is no blob ${sha256}.`, {
        hint: 'Upload it first: PUT /v1/blobs/<sha256>.',
      });
    }
  };

  const putStream: BlobStore['putStream'] = async (sha256, body, limitBytes) => {
    const path = pathOf(sha256);
    const part = partBeside(path);
    try {
      ready ??= prepare();
      await ready;
      const got = await receive(part, body, limitBytes, sha256);
      if (got.sha256 !== sha256) {
        throw new DomainError('InvalidRequest', `The ${got.bytes} bytes hash to ${got.sha256}, not to ${sha256}.`, {
          hint: 'Upload again; the file may have changed while it was read.',
        });
      }
      await rename(part, path);
      await syncFolder(folder);
      return { bytes: got.bytes };
    } catch (error) {
      await rm(part, { force: true });
      throw error;
    }
  };

  const has: BlobStore['has'] = async (sha256) => {
    try {
      await find(sha256);
      return true;
    } catch (error) {
      if (error instanceof DomainError && error.type === 'NotFound') return false;
      throw error;
    }
  };

  return {
    put: async (bytes) => {
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      if (!(await has(sha256))) await putStream(sha256, once(bytes), Number.POSITIVE_INFINITY);
      return sha256;
    },
    putStream,
    get: async (sha256) => {
      const { path } = await find(sha256);
      const bytes = await readFile(path);
      if (createHash('sha256').update(bytes).digest('hex') === sha256) return bytes;
      throw new DomainError('Internal', `Blob ${sha256} is damaged on disk (${path}).`, {
        hint: 'Remove that file and upload it again.',
      });
    },
    has,
    file: find,
    hold: (holder, digests) => holds.hold(holder, digests),
    async expire(unusedSinceMs, isOpen) {
      const held = await holds.held(isOpen);
      let removed = 0;
      for (const name of (await readdir(folder).catch(noneIfMissing)) ?? []) {
        if (!digestPattern.test(name) || held.has(name)) continue;
        const path = join(folder, name);
        const found = await stat(path).catch(() => undefined);
        if (found === undefined || found.mtimeMs >= unusedSinceMs) continue;
        await rm(path, { force: true });
        removed += 1;
      }
      return removed;
    },
  };
}
