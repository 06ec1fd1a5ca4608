import type { Writable } from 'node:stream';
import { frameHeader } from '../contract/frames.ts';
import type { Problem } from '../contract/http.ts';
import type { Stream } from '../domain/task.ts';
import type { OutputChunk } from '../output/output-store.ts';
import type { Followed } from './follow.ts';

/** How a follow is written down. Each answers the buffers of one piece, in order. */
export interface FollowFormat {
  readonly contentType: string;
  chunk(chunk: OutputChunk, offsets: Readonly<Record<Stream, number>>): readonly (Uint8Array | string)[];
  beat(offsets: Readonly<Record<Stream, number>>): readonly (Uint8Array | string)[];
  end(result: unknown, offsets: Readonly<Record<Stream, number>>): readonly (Uint8Array | string)[];
  problem(problem: Problem, offsets: Readonly<Record<Stream, number>>): readonly (Uint8Array | string)[];
}

const text = new TextEncoder();
const control = (stream: 'end' | 'problem', body: unknown): readonly Uint8Array[] => {
  const bytes = text.encode(JSON.stringify(body));
  return [frameHeader(stream, 0, bytes.length), bytes];
};

/** Binary frames, for programs. */
export const frames = (contentType: string): FollowFormat => ({
  contentType,
  chunk: ({ stream, offset, bytes }) => [frameHeader(stream, offset, bytes.length), bytes],
  beat: ({ stdout }) => [frameHeader('stdout', stdout, 0)],
  end: (result) => control('end', result),
  problem: (problem) => control('problem', problem),
});

const event = (name: string, id: string | undefined, data: unknown): readonly string[] => [
  `event: ${name}\n${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`,
];
const eventId = ({ stdout, stderr }: Readonly<Record<Stream, number>>): string => `${stdout}-${stderr}`;
/** Where there is no more to come: a browser asks again after any end. */
const lastId = (offsets: Readonly<Record<Stream, number>>): string => `${eventId(offsets)}-end`;
/** What may be there, or may answer, later. */
const isPassing = ({ status }: Problem): boolean => status === 503;

/**
 * Server-sent events, for browsers. `id` holds both offsets, so that the browser's own reconnect (`Last-Event-ID`) goes on
 * where it was, and ends where nothing more can come; bytes are base64, because output need not be text.
 */
export const serverSentEvents: FollowFormat = {
  contentType: 'text/event-stream; charset=utf-8',
  chunk: ({ stream, offset, bytes }, offsets) =>
    event(stream, eventId(offsets), {
      offset,
      base64: Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('base64'),
    }),
  beat: () => [': alive\n\n'],
  end: (result, offsets) => event('end', lastId(offsets), result),
  problem: (problem, offsets) => event('problem', isPassing(problem) ? undefined : lastId(offsets), problem),
};

/** What the `Last-Event-ID` of a browser that comes back says: where it was, or that it had all. */
export function resumedFrom(id: string | undefined): Record<Stream, number> | 'over' | undefined {
  const [, stdout, stderr, end] = /^(\d{1,15})-(\d{1,15})(-end)?$/.exec(id ?? '') ?? [];
  if (stdout === undefined) return undefined;
  return end === undefined ? { stdout: Number(stdout), stderr: Number(stderr) } : 'over';
}

/**
 * Sends a follow to its caller: beats while nothing is new, and a problem in place of the end when it goes wrong. The next
 * piece is asked for only when the one before is sent, so that all are read into one block: with a new one for each, the
 * collector of garbage took more time than reading and sending did.
 * @param to begun, and ended here
 */
export async function sendFollow(
  to: Writable,
  followed: AsyncIterable<Followed>,
  format: FollowFormat,
  from: Readonly<Record<Stream, number>>,
  options: { readonly beatMs: number; readonly refuse: (error: unknown) => Problem },
): Promise<void> {
  const offsets = { ...from };
  let written = (): void => undefined;
  // A caller that has gone: what cannot be sent any more is not waited for.
  to.on('error', () => undefined).once('close', () => written());
  const write = (parts: readonly (Uint8Array | string)[]): Promise<void> =>
    new Promise((resolve) => {
      if (to.destroyed) return resolve();
      written = resolve;
      to.cork();
      parts.forEach((part, n) => to.write(part, n === parts.length - 1 ? () => resolve() : undefined));
      return to.uncork();
    });
  let silent = false;
  const beat = setInterval(() => {
    if (silent && !to.writableNeedDrain) void write(format.beat(offsets));
    silent = true;
  }, options.beatMs);
  try {
    // At once: the caller sees that it is connected, however long the first byte takes.
    await write(format.beat(offsets));
    for await (const news of followed) {
      if (news.type === 'end') {
        await write(format.end(news.result, offsets));
        continue;
      }
      silent = false;
      offsets[news.chunk.stream] = news.chunk.offset + news.chunk.bytes.length;
      await write(format.chunk(news.chunk, offsets));
      if (to.destroyed) return;
    }
  } catch (error) {
    await write(format.problem(options.refuse(error), offsets));
  } finally {
    clearInterval(beat);
    to.end();
  }
}
