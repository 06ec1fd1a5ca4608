import { randomBytes } from 'node:crypto';
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { DomainError } from '../../domain/failure.ts';

const recordBytes = 17;

/**
 * Counts a call in a file that any number of processes share. Each call appends a record of its own, which the kernel puts
 * in one place (O_APPEND), and finds out where it lies: no lock, and no call is counted twice or lost to a kill -9.
 * @returns the number of the call, from 1
 */
export function countCall(path: string): number {
  const mine = Buffer.from(`${randomBytes(8).toString('hex')}\n`);
  const file = openSync(path, 'a+', 0o600);
  try {
    const from = fstatSync(file).size;
    if (writeSync(file, mine) !== recordBytes)
      throw new DomainError('Internal', `${path}: a call could not be counted, since the disk is full.`);
    const tail = Buffer.alloc(fstatSync(file).size - from);
    readSync(file, tail, 0, tail.length, from);
    return (from + tail.indexOf(mine)) / recordBytes + 1;
  } finally {
    closeSync(file);
  }
}
