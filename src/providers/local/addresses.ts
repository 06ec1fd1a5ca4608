import { createHash } from 'node:crypto';

/** 127.77.x.y with x and y from 1 to 254: no address ends like a network or a broadcast one. */
const side = 254;
export const addressCount = side * side;

export function addressAt(index: number): string {
  const n = index % addressCount;
  return `127.77.${1 + Math.floor(n / side)}.${1 + (n % side)}`;
}

/** Each state folder starts elsewhere, so that two on one host rarely meet; where they do, binding the port decides. */
const firstIndex = (folder: string): number =>
  createHash('sha256').update(folder).digest().readUInt32BE() % addressCount;

/**
 * Indexes to try, in order, round and round.
 * @param next where the last search ended @param reuse starts at the folder's first one each time: a new machine gets
 * the address of a destroyed one
 */
export function* candidates(
  folder: string,
  next: number | undefined,
  reuse: boolean,
  taken: ReadonlySet<string>,
): Generator<number> {
  const from = reuse || next === undefined ? firstIndex(folder) : next;
  for (let n = 0; n < addressCount; n += 1) {
    const index = (from + n) % addressCount;
    if (!taken.has(addressAt(index))) yield index;
  }
}
