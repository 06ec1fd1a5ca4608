import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { linesIn, markedStream } from '../../src/guest/marked-stream.ts';

const nonce = '0123456789abcdef0123456789abcdef';
const line = (text: string): Buffer => Buffer.from(`\x1e${nonce} ${text}\n`);

/** Feeds the stream cut at the given places. */
function fed(stream: Buffer, cuts: readonly number[]): { bytes: Buffer; lines: string[] } {
  const marked = markedStream(nonce, true);
  const places = [0, ...cuts.map((cut) => cut % (stream.length + 1)).sort((a, b) => a - b), stream.length];
  const pieces = places.slice(1).flatMap((end, index) => marked.feed(stream.subarray(places[index], end)));
  pieces.push(...marked.end());
  return {
    bytes: Buffer.concat(pieces.flatMap((piece) => ('bytes' in piece ? [piece.bytes] : []))),
    lines: pieces.flatMap((piece) => ('words' in piece ? [piece.words.join(' ')] : [])),
  };
}

/** Bytes that are likely to look like the beginning of a mark. */
const tricky = fc
  .array(
    fc.oneof(
      fc.uint8Array({ maxLength: 8 }),
      fc.nat(34).map((length) => line('x').subarray(0, length)),
    ),
    { maxLength: 8 },
  )
  .map((parts) => Buffer.concat(parts))
  .filter((bytes) => !bytes.includes(line('').subarray(0, 34)));

describe('a stream with our lines in it', () => {
  it('gives every byte of the task and every line, however it is cut', () => {
    fc.assert(
      fc.property(fc.array(tricky, { minLength: 1, maxLength: 5 }), fc.array(fc.nat(10_000)), (parts, cuts) => {
        const stream = Buffer.concat([line('now'), ...parts.flatMap((part, index) => [part, line(`alive ${index}`)])]);
        const { bytes, lines } = fed(stream, cuts);
        // Two parts may make a mark only where they touch; a line of ours always stands between them.
        expect(bytes.equals(Buffer.concat(parts))).toBe(true);
        expect(lines).toEqual(['now', ...parts.map((_, index) => `alive ${index}`)]);
      }),
    );
  });

  it('begins at the first line: what rc files print before is dropped', () => {
    expect(
      fed(Buffer.concat([Buffer.from('Welcome> '), line('now'), Buffer.from('data')]), [3, 12]).bytes.toString(),
    ).toBe('data');
    expect(linesIn(nonce, Buffer.concat([Buffer.from('motd\n\x1e'), line('running 1 2')]))).toEqual([
      ['running', '1', '2'],
    ]);
  });

  it('is given up on when a line never ends', () => {
    const marked = markedStream(nonce, true);
    expect(() => {
      for (let count = 0; count < 100; count += 1)
        marked.feed(count === 0 ? line('x').subarray(0, -1) : Buffer.alloc(100, 65));
    }).toThrow(/without end/);
  });
});
