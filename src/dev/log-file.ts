import { closeSync, existsSync, mkdirSync, openSync, readSync, renameSync, statSync, fstatSync } from 'node:fs';
import { dirname } from 'node:path';

const rotateBytes = 10 * 1024 * 1024;
const keptFiles = 3;

/** Opens a log for appending (0600); one that has grown past 10 MiB is set aside first, and the three last are kept. */
export function openLog(path: string): number {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  if (existsSync(path) && statSync(path).size >= rotateBytes) {
    for (let n = keptFiles - 1; n >= 1; n -= 1) {
      if (existsSync(`${path}.${n}`)) renameSync(`${path}.${n}`, `${path}.${n + 1}`);
    }
    renameSync(path, `${path}.1`);
  }
  return openSync(path, 'a', 0o600);
}

const tailBytes = 4096;

/**
 * The last lines of a log that say something, for a message: at most 4 KiB of it is read.
 * @param from bytes of it that are of no interest
 */
export function lastLines(path: string, count: number, from = 0): readonly string[] {
  if (!existsSync(path)) return [];
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    const buffer = Buffer.alloc(Math.max(Math.min(size - from, tailBytes), 0));
    const read = readSync(file, buffer, 0, buffer.length, size - buffer.length);
    return (
      buffer
        .subarray(0, read)
        .toString('utf8')
        .split('\n')
        // Frames of a stack would push out the sentence that they belong to.
        .filter((line) => line.trim() !== '' && !/^\s+at /.test(line))
        .slice(-count)
    );
  } finally {
    closeSync(file);
  }
}

/** What a line of a log says to a person: of one of ours, which are JSON, its sentence. */
export function sentenceOf(line: string): string {
  try {
    const { msg } = JSON.parse(line) as { readonly msg?: unknown };
    return typeof msg === 'string' ? msg : line;
  } catch {
    return line;
  }
}
