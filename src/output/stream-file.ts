import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { DomainError } from '../domain/failure.ts';
import type { StreamResult } from '../domain/task.ts';
import { diskFailure } from './disk-failure.ts';

const rehashBytes = 1_048_576;

/** One stream of one task on disk. Calls are queued: each sees what the one before it has stored. */
export class StreamFile {
  readonly #name: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  readonly #limitBytes: number;
  /** The file's length: every byte below it is stored. */
  #kept: number;
  #seen: number;
  #hash = createHash('sha256');
  /** How far the hash has come; behind `#kept` after a restart, until `finish` reads what it missed. */
  #hashed = 0;
  #unsynced: boolean;
  #last: Promise<unknown> = Promise.resolve();

  /** @param name for messages: `stdout of task a/b` */
  constructor(name: string, path: string, handle: FileHandle, kept: number, seen: number, limitBytes: number) {
    this.#name = name;
    this.#path = path;
    this.#handle = handle;
    this.#limitBytes = limitBytes;
    this.#kept = kept;
    this.#seen = Math.max(seen, kept);
    this.#unsynced = kept > 0;
  }

  get full(): boolean {
    return this.#kept >= this.#limitBytes;
  }

  get seen(): number {
    return this.#seen;
  }

  /** Where following goes on: the end of the file, or beyond the limit how far was counted. */
  get offset(): number {
    return this.full ? this.#seen : this.#kept;
  }

  write(offset: number, bytes: Uint8Array): Promise<void> {
    return this.#inTurn(() => this.#store(offset, bytes));
  }

  sync(): Promise<void> {
    return this.#inTurn(async () => {
      if (!this.#unsynced) return;
      try {
        await this.#handle.datasync();
      } catch (error) {
        throw diskFailure(`Could not flush ${this.#name}`, this.#path, error);
      }
      this.#unsynced = false;
    });
  }

  finish(seen: number): Promise<StreamResult> {
    return this.#inTurn(async () => {
      await this.#catchUp();
      const bytes = Math.max(seen, this.#seen);
      return { bytes, keptBytes: this.#kept, cut: bytes > this.#kept, sha256: this.#hash.copy().digest('hex') };
    });
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#handle.close());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work);
    // Its caller hears of a failure; the next in the queue must run all the same, or nothing could be retried.
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #store(offset: number, bytes: Uint8Array): Promise<void> {
    if (!Number.isSafeInteger(offset) || offset < 0) {
      throw new DomainError('Internal', `${this.#name} was written at offset ${offset}, which is no offset.`);
    }
    if (offset > this.#kept && !this.full) {
      throw new DomainError('Internal', `${this.#name} was written at ${offset}, but ends at ${this.#kept}: a hole.`, {
        hint: 'Follow again from the offsets that the store reports.',
      });
    }
    // What is stored already is not written again: then not even a wrong repeat can change it.
    const from = Math.min(Math.max(this.#kept - offset, 0), bytes.length);
    let rest = bytes.subarray(from, Math.max(from, Math.min(this.#limitBytes - offset, bytes.length)));
    while (rest.length > 0) rest = rest.subarray(await this.#append(rest));
    this.#seen = Math.max(this.#seen, this.#kept, offset + bytes.length);
  }

  /** Answers how many were written: a disk that fills up takes a part. */
  async #append(bytes: Uint8Array): Promise<number> {
    const writing = this.#handle.write(bytes, 0, bytes.length, this.#kept);
    const hashing = this.#hashed === this.#kept;
    // While the write is under way in its own thread.
    if (hashing) this.#hash.update(bytes);
    let written = 0;
    try {
      written = (await writing).bytesWritten;
    } catch (error) {
      throw diskFailure(`Could not store ${this.#name} at byte ${this.#kept}`, this.#path, error);
    } finally {
      this.#kept += written;
      this.#unsynced ||= written > 0;
      if (hashing && written === bytes.length) {
        this.#hashed = this.#kept;
      } else if (hashing) {
        // The hash has run ahead of the file: it begins anew, from the file.
        this.#hash = createHash('sha256');
        this.#hashed = 0;
      }
    }
    return written;
  }

  async #catchUp(): Promise<void> {
    if (this.#hashed === this.#kept) return;
    const block = Buffer.allocUnsafe(Math.min(rehashBytes, this.#kept - this.#hashed));
    while (this.#hashed < this.#kept) {
      const want = Math.min(block.length, this.#kept - this.#hashed);
      const { bytesRead } = await this.#handle.read(block, 0, want, this.#hashed);
      if (bytesRead === 0) {
        throw new DomainError('Internal', `${this.#path} was cut from outside: ${this.#name} had ${this.#kept} bytes.`);
      }
      this.#hash.update(block.subarray(0, bytesRead));
      this.#hashed += bytesRead;
    }
  }
}
