import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { chunks } from '../../src/guest/chunks.ts';

const never = new AbortController().signal;

it('a stream in bulk comes in fewer pieces than it was written in, each byte once and in order', async () => {
  const source = new PassThrough({ highWaterMark: 2 ** 21 });
  const written = Array.from({ length: 400 }, (_, n) => Buffer.alloc(16_384, n));
  const write = async (): Promise<void> => {
    for (const piece of written) {
      source.write(piece);
      await new Promise((resolve) => setImmediate(resolve));
    }
    source.end();
  };
  const got: Buffer[] = [];
  void write();
  for await (const chunk of chunks(source, never)) got.push(chunk);
  expect(Buffer.concat(got).equals(Buffer.concat(written))).toBe(true);
  expect(got.length).toBeLessThan(written.length / 2);
});

it('what trickles in is given as it comes', async () => {
  const source = new PassThrough();
  const given = chunks(source, never);
  for (const word of ['a', 'b', 'c']) {
    source.write(word);
    expect((await given.next()).value?.toString()).toBe(word);
  }
  source.end();
  expect(await given.next()).toEqual({ done: true, value: undefined });
});

it('what is over gives nothing more', async () => {
  const source = new PassThrough();
  const over = new AbortController();
  const given = chunks(source, over.signal);
  const waiting = given.next();
  over.abort();
  source.write('late');
  expect((await waiting).done).toBe(true);
});
