/** All strings and bytes of a history, base64 payloads as text. */
export function decoded(value: unknown): string {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (Array.isArray(value)) return value.map(decoded).join('\n');
  if (typeof value === 'object' && value !== null) return Object.values(value).map(decoded).join('\n');
  return String(value);
}
