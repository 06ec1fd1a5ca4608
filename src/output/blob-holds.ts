import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { partBeside } from '../host/atomic-file.ts';
import { diskFailure, errorCode } from './disk-failure.ts';

/** What an open life still needs: `<folder>/<workflow id>`, its digests as JSON. */
export interface BlobHolds {
  /** Repeatable; what the holder held before is let go. */
  hold(holder: string, digests: readonly string[]): Promise<void>;
  /** All that open holders need. Those that have closed are forgotten. */
  held(isOpen: (holder: string) => Promise<boolean>): Promise<ReadonlySet<string>>;
}

/** A pool's bundle is resolved shortly before its workflow is started: until then its hold is young, and not asked about. */
const youngMs = 3_600_000;

export function createBlobHolds(folder: string): BlobHolds {
  return {
    async hold(holder, digests) {
      const path = join(folder, encodeURIComponent(holder));
      const part = partBeside(path);
      try {
        await mkdir(folder, { recursive: true, mode: 0o700 });
        // Not flushed, as it is on the way to each lease: what a loss of power leaves of it only keeps more.
        await writeFile(part, JSON.stringify([...new Set(digests)]), { mode: 0o600 });
        await rename(part, path);
      } catch (error) {
        await rm(part, { force: true });
        throw diskFailure(`Could not note which blobs ${holder} needs`, path, error);
      }
    },

    async held(isOpen) {
      const held = new Set<string>();
      for (const name of await namesIn(folder)) {
        const path = join(folder, name);
        const found = await stat(path).catch(ifMissing(undefined));
        if (found === undefined) continue;
        const holder = decodeURIComponent(name);
        if (found.mtimeMs < Date.now() - youngMs && !(await isOpen(holder))) {
          await rm(path, { force: true });
          continue;
        }
        for (const digest of await digestsIn(path)) held.add(digest);
      }
      return held;
    },
  };
}

const ifMissing =
  <T>(value: T) =>
  (error: unknown): T => {
    if (errorCode(error) === 'ENOENT') return value;
    throw error;
  };

const namesIn = (folder: string): Promise<readonly string[]> => readdir(folder).catch(ifMissing([]));

async function digestsIn(path: string): Promise<readonly string[]> {
  const text = await readFile(path, 'utf8').catch(ifMissing('[]'));
  try {
    return JSON.parse(text) as readonly string[];
  } catch (error) {
    // What it held is not known: nothing may be removed until its holder has closed.
    throw diskFailure(`${path} is damaged`, path, error);
  }
}
