import { PassThrough } from 'node:stream';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
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

/** The body of a follow: beats while nothing is new, and a problem in place of the end when it goes wrong. */
export function followBody(
  followed: AsyncIterable<Followed>,
  format: FollowFormat,
  from: Readonly<Record<Stream, number>>,
  options: { readonly beatMs: number; readonly refuse: (error: unknown) => Problem },
): Readable {
  const body = new PassThrough({ highWaterMark: 1_048_576 });
  const offsets = { ...from };
  const write = (parts: readonly (Uint8Array | string)[]): boolean => {
    let free = true;
    for (const part of parts) free = body.write(part);
    return free;
  };
  let silent = false;
  const beat = setInterval(() => {
    if (silent && !body.writableNeedDrain) write(format.beat(offsets));
    silent = true;
  }, options.beatMs);

  const pump = async (): Promise<void> => {
    // At once: the caller sees that it is connected, however long the first byte takes.
    write(format.beat(offsets));
    for await (const news of followed) {
      if (news.type === 'end') {
        write(format.end(news.result, offsets));
        continue;
      }
      silent = false;
      offsets[news.chunk.stream] = news.chunk.offset + news.chunk.bytes.length;
      if (!write(format.chunk(news.chunk, offsets)) && !body.destroyed)
        await Promise.race([once(body, 'drain'), once(body, 'close')]);
      if (body.destroyed) return;
    }
  };
  void pump()
    .catch((error: unknown) => {
      if (!body.destroyed) write(format.problem(options.refuse(error), offsets));
    })
    .finally(() => {
      clearInterval(beat);
      body.end();
    });
  return body;
}
