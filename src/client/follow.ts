import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { createFrameReader, framesType } from '../contract/frames.ts';
import type { FramePiece } from '../contract/frames.ts';
import type { Problem } from '../contract/http.ts';
import { DomainError } from '../domain/failure.ts';
import type { Stream, TaskResult } from '../domain/task.ts';
import { backoffAfter, errorOfProblem, firstBackoffMs, isAway } from './transport.ts';
import type { Transport } from './transport.ts';

export type FollowNews =
  | { readonly type: 'output'; readonly stream: Stream; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly type: 'end'; readonly result: TaskResult };

export interface FollowOptions {
  /** Bytes that were had already. */
  readonly from?: Partial<Readonly<Record<Stream, number>>>;
  readonly signal?: AbortSignal | undefined;
  /** The connection broke (`lost`), or is there again (`back`). */
  readonly onConnection?: (state: 'lost' | 'back') => void;
  /** How long a stack that is away is tried; for ever when absent. */
  readonly patienceMs?: number;
}

/** No word at all for so long: the connection is dead, since the API sends a beat every 10 s. */
const silentForMs = 45_000;

/**
 * A task's output, each byte once and in order within its stream, and then its result: through any cut, restart of the
 * stack and change of its ports. Waits for a task that does not exist yet while its lease is open.
 * @throws DomainError NotFound, Gone as the API says; the signal's reason when it aborts
 */
export async function* followOutput(
  transport: Transport,
  path: string,
  options: FollowOptions = {},
): AsyncGenerator<FollowNews> {
  const at = { stdout: options.from?.stdout ?? 0, stderr: options.from?.stderr ?? 0 };
  let lostAt: number | undefined;
  for (let waitMs = firstBackoffMs; ; waitMs = backoffAfter(waitMs)) {
    try {
      const query = { out: at.stdout, err: at.stderr };
      const signal = options.signal;
      const body = await transport.body(path, { query, headers: { accept: framesType }, signal });
      if (lostAt !== undefined) options.onConnection?.('back');
      lostAt = undefined;
      for await (const piece of piecesOf(body)) {
        waitMs = firstBackoffMs;
        const news = newsOf(piece, at);
        if (news) yield news;
        if (news?.type === 'end') return;
      }
    } catch (error) {
      options.signal?.throwIfAborted();
      if (!isAway(error)) throw error;
    }
    const now = performance.now();
    if (lostAt === undefined) options.onConnection?.('lost');
    lostAt ??= now;
    if (options.patienceMs !== undefined && now - lostAt > options.patienceMs) {
      throw errorOfProblem({ type: 'ProviderUnavailable', detail: 'The stack did not come back.' }, path);
    }
    await pause(waitMs, undefined, options.signal ? { signal: options.signal } : {});
  }
}

async function* piecesOf(body: Readable): AsyncGenerator<FramePiece> {
  const read = createFrameReader();
  const chunks = body[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
  // One timer for all pieces; while the caller is busy with one, nobody waits.
  let waiting = false;
  const silence = setTimeout(() => {
    if (waiting) body.destroy(errorOfProblem({ type: 'ProviderUnavailable', detail: 'no beat' }, 'following'));
    else silence.refresh();
  }, silentForMs);
  const next = async (): Promise<IteratorResult<Uint8Array>> => {
    waiting = true;
    silence.refresh();
    try {
      return await chunks.next();
    } catch (error) {
      throw error instanceof DomainError ? error : new TypeError('terminated', { cause: error });
    } finally {
      waiting = false;
    }
  };
  try {
    for (;;) {
      const { done, value } = await next();
      if (done) return;
      yield* read(value);
    }
  } finally {
    clearTimeout(silence);
    // Also when the caller stops in the middle: the API sees it, and stops reading the output.
    body.destroy();
  }
}

function newsOf(piece: FramePiece, at: Record<Stream, number>): FollowNews | undefined {
  if ('text' in piece) {
    if (piece.stream === 'problem') throw errorOfProblem(JSON.parse(piece.text) as Problem, 'following');
    return { type: 'end', result: JSON.parse(piece.text) as TaskResult };
  }
  const { stream, offset, bytes } = piece;
  const known = at[stream] - offset;
  if (known < 0) throw new Error(`bytes ${at[stream]} to ${offset} of ${stream} are missing: this is a bug of the API`);
  if (known >= bytes.length) return undefined;
  at[stream] = offset + bytes.length;
  return { type: 'output', stream, offset: offset + known, bytes: bytes.subarray(known) };
}
