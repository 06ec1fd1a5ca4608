/** A range of bytes `[start, end)`, as RFC 9110 section 14 asks for one. */
export type Range = { readonly start: number; readonly end: number };

/**
 * `undefined`: there is no range, or one that may be ignored (another unit, several ranges), so all is sent.
 * `unsatisfiable`: nothing of what is there is meant.
 */
export function rangeOf(header: string | undefined, size: number): Range | 'unsatisfiable' | undefined {
  const found = /^bytes=(?:(\d{1,15})-(\d{0,15})|-(\d{1,15}))$/.exec(header?.replaceAll(' ', '') ?? '');
  if (!found) return undefined;
  const [, first, last, suffix] = found;
  if (suffix !== undefined) {
    const length = Math.min(Number(suffix), size);
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size };
  }
  const start = Number(first);
  const end = last === undefined || last === '' ? size : Number(last) + 1;
  if (end <= start && last !== '') return undefined;
  return start >= size ? 'unsatisfiable' : { start, end: Math.min(end, size) };
}
