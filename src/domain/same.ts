import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import { isMap } from './is-map.ts';

/** JSON with sorted keys: two bodies are the same when these texts are. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) =>
    isMap(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) : inner,
  );
}

export const sameBody = (a: unknown, b: unknown): boolean => canonical(a) === canonical(b);

export const digestOf = (value: unknown): string => bytesToHex(sha256(utf8ToBytes(canonical(value))));
