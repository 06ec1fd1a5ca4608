/**
 * The framing of `GET …/tasks/{t}/follow`: stream u8, offset u64 BE, length u32 BE, then that many bytes. A frame of
 * length 0 only says that the connection lives. The last frame is `end` (a TaskResult as JSON) or `problem` (RFC 9457 as
 * JSON); a body that ends without one was cut: ask again from the offsets that have arrived.
 */
export const frameStream = { end: 0, stdout: 1, stderr: 2, problem: 3 } as const;
export const frameHeaderBytes = 13;
export const framesType = 'application/vnd.slipway.frames';
/** No control frame is larger; a larger one is not ours. */
const controlLimitBytes = 4 * 1024 * 1024;

/** A piece of a stream (possibly only part of a frame, its offset adjusted), or the whole text of a control frame. */
export type FramePiece =
  | { readonly stream: 'stdout' | 'stderr'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly stream: 'end' | 'problem'; readonly text: string };

export function frameHeader(stream: keyof typeof frameStream, offset: number, length: number): Uint8Array {
  const header = new Uint8Array(frameHeaderBytes);
  const view = new DataView(header.buffer);
  view.setUint8(0, frameStream[stream]);
  view.setBigUint64(1, BigInt(offset));
  view.setUint32(9, length);
  return header;
}

/** Takes the body in pieces of any size and gives frames as they arrive, without copying a stream's bytes. */
export function createFrameReader(): (chunk: Uint8Array) => readonly FramePiece[] {
  const header = new Uint8Array(frameHeaderBytes);
  let headerFilled = 0;
  let stream: keyof typeof frameStream = 'stdout';
  let offset = 0;
  let left = 0;
  let control: Uint8Array[] = [];

  const open = (): void => {
    const view = new DataView(header.buffer);
    const code = view.getUint8(0);
    const named = (Object.keys(frameStream) as (keyof typeof frameStream)[]).find((name) => frameStream[name] === code);
    if (named === undefined) throw new Error(`a frame of an unknown stream ${code}: this is no follow of slipway`);
    stream = named;
    offset = Number(view.getBigUint64(1));
    left = view.getUint32(9);
    control = [];
    if ((stream === 'end' || stream === 'problem') && left > controlLimitBytes) {
      throw new Error(`a control frame of ${left} bytes: this is no follow of slipway`);
    }
  };

  return (chunk) => {
    const pieces: FramePiece[] = [];
    let at = 0;
    while (at < chunk.length) {
      if (headerFilled < frameHeaderBytes) {
        const part = chunk.subarray(at, at + frameHeaderBytes - headerFilled);
        header.set(part, headerFilled);
        headerFilled += part.length;
        at += part.length;
        if (headerFilled < frameHeaderBytes) break;
        open();
      }
      const bytes = chunk.subarray(at, at + left);
      at += bytes.length;
      left -= bytes.length;
      if (stream === 'end' || stream === 'problem') {
        control.push(bytes);
        if (left === 0) pieces.push({ stream, text: textOf(control) });
      } else {
        if (bytes.length > 0) pieces.push({ stream, offset, bytes });
        offset += bytes.length;
      }
      if (left === 0) headerFilled = 0;
    }
    return pieces;
  };
}

function textOf(parts: readonly Uint8Array[]): string {
  const decoder = new TextDecoder();
  return parts.map((part) => decoder.decode(part, { stream: true })).join('') + decoder.decode();
}
