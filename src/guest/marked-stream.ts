import { DomainError } from '../domain/failure.ts';

/** Either bytes of the task, or the words of one of our lines. */
export type Piece = { readonly bytes: Buffer } | { readonly words: readonly string[] };

/**
 * Takes our lines (`RS nonce words LF`) out of a stream of bytes, wherever they fall and however the chunks are cut.
 * Nothing before the first line counts: login shells' rc files may print.
 */
export interface MarkedStream {
  feed(chunk: Buffer): Piece[];
  /** What was held back because a line could have begun there. */
  end(): Piece[];
}

/** No line of ours is longer. */
const lineMaxBytes = 4096;

/** @param mixed whether the stream goes on with a task's bytes after the first line; else only lines are given */
export function markedStream(nonce: string, mixed: boolean): MarkedStream {
  const mark = Buffer.from(`\x1e${nonce} `);
  let started = false;
  let rest: Buffer = Buffer.alloc(0);

  const data = (into: Piece[], bytes: Buffer): void => {
    if (started && mixed && bytes.length > 0) into.push({ bytes });
  };
  return {
    feed(chunk) {
      const pieces: Piece[] = [];
      let buffer: Buffer = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      for (;;) {
        const at = buffer.indexOf(mark);
        if (at < 0) break;
        const lineEnd = buffer.indexOf(0x0a, at);
        data(pieces, buffer.subarray(0, at));
        if (lineEnd < 0) {
          if (buffer.length - at > lineMaxBytes) throw new DomainError('Internal', 'The guest sent a line without end');
          rest = buffer.subarray(at);
          return pieces;
        }
        started = true;
        pieces.push({ words: buffer.toString('utf8', at + mark.length, lineEnd).split(' ') });
        buffer = buffer.subarray(lineEnd + 1);
      }
      const held = heldBack(buffer, mark);
      data(pieces, buffer.subarray(0, buffer.length - held));
      rest = buffer.subarray(buffer.length - held);
      return pieces;
    },
    end() {
      const pieces: Piece[] = [];
      data(pieces, rest);
      rest = Buffer.alloc(0);
      return pieces;
    },
  };
}

/** How many of the last bytes could be the beginning of a mark. */
function heldBack(buffer: Buffer, mark: Buffer): number {
  const from = Math.max(0, buffer.length - mark.length + 1);
  for (let at = buffer.indexOf(mark[0] ?? 0, from); at >= 0; at = buffer.indexOf(mark[0] ?? 0, at + 1)) {
    if (buffer.subarray(at).equals(mark.subarray(0, buffer.length - at))) return buffer.length - at;
  }
  return 0;
}

/** All our lines in what a finished channel printed. */
export function linesIn(nonce: string, output: Buffer): (readonly string[])[] {
  return markedStream(nonce, false)
    .feed(output)
    .flatMap((piece) => ('words' in piece ? [piece.words] : []));
}
