import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { DomainError } from '../domain/failure.ts';
import { syncFolder } from '../host/atomic-file.ts';
import { diskFailure, errorCode } from './disk-failure.ts';

/** A file on its way here; any attempt goes on where an earlier one of the same id stood. */
export interface FetchedPart {
  /** What an earlier attempt left. */
  readonly bytes: number;
  truncate(bytes: number): Promise<void>;
  /** Repeatable: the same bytes at the same offset change nothing. @throws DomainError Internal on a full disk */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  /** Of the first `bytes`. */
  digest(bytes: number): Promise<string>;
  /** Keeps it under its digest; the part is over. */
  keep(sha256: string, bytes: number): Promise<void>;
  close(): Promise<void>;
}

/** What was fetched from guests, by digest, until it expires. */
export interface FetchedStore {
  /** @param id stable over attempts */
  part(id: string): Promise<FetchedPart>;
  /** @throws DomainError NotFound */
  file(sha256: string): Promise<{ readonly path: string; readonly bytes: number }>;
  /** Removes what nobody has asked for or fetched anew since then. */
  expire(beforeMs: number): Promise<void>;
}

const partPrefix = '.part-';
const digestPattern = /^[0-9a-f]{64}$/;

/** @param root one file for each digest, 0600, complete or not there */
export function createFetchedStore(root: string): FetchedStore {
  const folder = resolve(root);
  const pathOf = (sha256: string): string => join(folder, sha256);
  return {
    async part(id) {
      await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: unknown) => {
        throw diskFailure('Could not make a place for fetched files', folder, error);
      });
      const path = join(folder, `${partPrefix}${createHash('sha256').update(id).digest('hex').slice(0, 32)}`);
      const handle = await open(path, constantsForPart, 0o600);
      const onDisk = async <T>(work: Promise<T>): Promise<T> =>
        work.catch((error: unknown) => {
          throw diskFailure('Could not store a fetched file', path, error);
        });
      return {
        bytes: (await handle.stat()).size,
        truncate: (bytes) => onDisk(handle.truncate(bytes)),
        async write(offset, bytes) {
          for (let at = 0; at < bytes.length;) {
            at += (await onDisk(handle.write(bytes, at, bytes.length - at, offset + at))).bytesWritten;
          }
        },
        digest: (bytes) => onDisk(digestOf(path, bytes)),
        async keep(sha256, bytes) {
          await onDisk(handle.truncate(bytes));
          await onDisk(handle.sync());
          await onDisk(rename(path, pathOf(sha256)));
          await syncFolder(folder);
        },
        close: () => handle.close(),
      };
    },
    async file(sha256) {
      const path = pathOf(digestPattern.test(sha256) ? sha256 : '-');
      try {
        return { path, bytes: (await stat(path)).size };
      } catch (error) {
        if (errorCode(error) !== 'ENOENT') throw diskFailure(`Could not look at fetched file ${sha256}`, path, error);
        throw new DomainError('NotFound', `There is no fetched file ${sha256.slice(0, 80)}.`, {
          hint: 'Fetched files are kept for as long as output is; fetch it again.',
        });
      }
    },
    async expire(beforeMs) {
      const names = await readdir(folder).catch((error: unknown) => {
        if (errorCode(error) === 'ENOENT') return [];
        throw error;
      });
      for (const name of names) {
        const path = join(folder, name);
        const found = await stat(path).catch(() => undefined);
        if (found !== undefined && found.mtimeMs < beforeMs) await rm(path, { force: true });
      }
    },
  };
}

/** Made when it is not there, never emptied. */
const constantsForPart = constants.O_RDWR | constants.O_CREAT;

async function digestOf(path: string, bytes: number): Promise<string> {
  const hash = createHash('sha256');
  if (bytes > 0) for await (const chunk of createReadStream(path, { end: bytes - 1 })) hash.update(chunk as Buffer);
  return hash.digest('hex');
}
