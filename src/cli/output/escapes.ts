const escape = 0x1b;
const bell = 0x07;
/** CSI, and the introducers of strings: DCS, SOS, OSC, PM, APC (ECMA-48). */
const csi = '['.charCodeAt(0);
const strings = new Set(Buffer.from('PX]^_'));
/** The same in the C1 set, as UTF-8 carries it: 0xC2 and one of 0x80 to 0x9F. */
const c1Lead = 0xc2;

type State = 'text' | 'escape' | 'sequence' | 'string' | 'stringEscape' | 'c1';

/**
 * A filter for the bytes of one stream: takes out what would steer a terminal (move, retitle, answer, clear), over any cut
 * into chunks. Text, tabs, line ends and carriage returns pass as they are.
 */
export function withoutEscapes(): (bytes: Uint8Array) => Uint8Array {
  let state: State = 'text';
  return (bytes) => {
    const kept = new Uint8Array(bytes.length + 1);
    let length = 0;
    for (const byte of bytes) {
      if (state === 'c1' && (byte < 0x80 || byte > 0x9f)) {
        kept[length++] = c1Lead;
        state = 'text';
      }
      const passes = state === 'text' && isText(byte);
      state = next(state, byte);
      if (passes) kept[length++] = byte;
    }
    return kept.subarray(0, length);
  };
}

function next(state: State, byte: number): State {
  if (state === 'c1') return byte === 0x9b ? 'sequence' : c1Strings.has(byte) ? 'string' : 'text';
  if (state === 'string' || state === 'stringEscape') {
    if (byte === bell || (state === 'stringEscape' && byte === 0x5c)) return 'text';
    return byte === escape ? 'stringEscape' : 'string';
  }
  if (byte === escape) return 'escape';
  if (state === 'text') return byte === c1Lead ? 'c1' : 'text';
  if (state === 'escape') {
    if (byte === csi) return 'sequence';
    if (strings.has(byte)) return 'string';
    // Intermediate bytes go on; anything else ends it.
    return byte >= 0x20 && byte <= 0x2f ? 'escape' : 'text';
  }
  return byte >= 0x40 && byte <= 0x7e ? 'text' : 'sequence';
}

const c1Strings = new Set([0x90, 0x98, 0x9d, 0x9e, 0x9f]);

/** Tab, line feed and carriage return are all that is left of the control characters. */
const isText = (byte: number): boolean =>
  byte === 0x09 || byte === 0x0a || byte === 0x0d || (byte >= 0x20 && byte !== 0x7f && byte !== c1Lead);
