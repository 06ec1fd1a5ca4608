import type { Stream, StreamResult, TaskResult } from '../domain/task.ts';

/**
 * The append-only store of task output, `output/<key>/{out,err,meta.json}` in the state folder. Writers write at offsets,
 * so a repeated chunk changes nothing; readers read by range and follow while the file grows.
 */
export interface OutputStore {
  /** Opens (or makes) the task's folder. One writer per task at a time; a second one that repeats bytes does no harm. */
  open(taskKey: string, limitBytes: number): Promise<OutputWriter>;

  /** Sizes and whether it has ended; undefined while nothing was ever written for it. */
  stat(taskKey: string): Promise<OutputStat | undefined>;

  /** Bytes `[start, end)` of what is kept; short when fewer are there. */
  read(taskKey: string, stream: Stream, start: number, end: number): Promise<Uint8Array>;

  /**
   * Yields chunks (≤ 256 KiB) of both streams from the offsets, in order within a stream, as they are stored; ends after
   * the last kept byte of an ended task, or when `signal` aborts. Looks at the sizes every 25 ms while there is nothing new.
   * Waits for a task that has no output yet. The bytes of a chunk are the caller's only until it asks for the next one.
   */
  follow(taskKey: string, from: Readonly<Record<Stream, number>>, signal: AbortSignal): AsyncIterable<OutputChunk>;

  /**
   * Removes the output of tasks that ended before the instant, and of those that never ended (their workflow was
   * terminated), have written nothing since then and are not open any more. Answers how many.
   */
  expire(endedBeforeMs: number, isOpen: (taskKey: string) => Promise<boolean>): Promise<number>;
}

export interface OutputChunk {
  readonly stream: Stream;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

export interface OutputStat {
  readonly stdout: { readonly keptBytes: number };
  readonly stderr: { readonly keptBytes: number };
  /** The task's result once it has ended. */
  readonly end?: TaskResult;
}

export interface OutputWriter {
  /** What is safely kept: where following goes on after a crash. */
  readonly offsets: Readonly<Record<Stream, number>>;
  /** Beyond the limit the bytes are counted and dropped. Throws a DomainError `Internal` with a hint on a full disk. */
  write(stream: Stream, offset: number, bytes: Uint8Array): Promise<void>;
  /** Flushes to the disk. */
  sync(): Promise<void>;
  /** Kept and seen sizes with the sha256 of the kept bytes. */
  finish(seen: Readonly<Record<Stream, number>>): Promise<Record<Stream, StreamResult>>;
  /** Marks the end: followers end after the last byte. */
  end(result: TaskResult): Promise<void>;
  close(): Promise<void>;
}

/** Uploaded bytes and recipes by digest, `blobs/<sha256>`. */
export interface BlobStore {
  /** Stores the bytes and answers their digest. */
  put(bytes: Uint8Array): Promise<string>;
  /** Stores a stream; the bytes are kept only when they hash to `sha256`. */
  putStream(sha256: string, body: AsyncIterable<Uint8Array>, limitBytes: number): Promise<{ bytes: number }>;
  /** @throws DomainError NotFound */
  get(sha256: string): Promise<Uint8Array>;
  has(sha256: string): Promise<boolean>;
  /** Path and size for streaming. @throws DomainError NotFound */
  file(sha256: string): Promise<{ readonly path: string; readonly bytes: number }>;
  /** Keeps these from expiring for as long as the holder, a workflow id, is open. Repeatable; the last call counts. */
  hold(holder: string, digests: readonly string[]): Promise<void>;
  /**
   * Removes what nobody has put, looked for or read since the instant, and no open holder needs. Answers how many.
   * @param isOpen throws when it cannot be told, and nothing is removed
   */
  expire(unusedSinceMs: number, isOpen: (holder: string) => Promise<boolean>): Promise<number>;
}
