import { isMap } from '../domain/is-map.ts';
import type { PlacedData, Place, YamlPath } from './yaml-file.ts';

/** Where a part of the merged data comes from. */
interface Origin {
  readonly data: PlacedData;
  readonly path: YamlPath;
}
interface Piece extends Origin {
  readonly value: unknown;
}
/** One key of the merged data: a value of one file, or pieces of several, in order. */
type Slot =
  | { readonly kind: 'value'; readonly piece: Piece }
  | { readonly kind: 'list' | 'map'; readonly whole: Origin; readonly pieces: ReadonlyMap<PropertyKey, Piece> };

/** What says what a file itself is: never inherited. */
const ownKeys: ReadonlySet<string> = new Set(['name', 'summary', 'part', 'extends']);
/** An entry takes the place of an inherited one that has the same; the others come after the inherited ones. */
const identities: Readonly<Record<string, string>> = {
  parameters: 'name',
  files: 'path',
  commands: 'title',
  resetCommands: 'title',
};
/** Their keys are inherited one by one. */
const maps: ReadonlySet<string> = new Set(['lease', 'userData']);

function merge(key: string, before: Slot | undefined, value: unknown, data: PlacedData): Slot {
  const whole: Origin = { data, path: [key] };
  const identity = identities[key];
  if (identity !== undefined && Array.isArray(value)) {
    const pieces = [...(before?.kind === 'list' ? before.pieces.values() : [])];
    for (const [n, entry] of (value as readonly unknown[]).entries()) {
      const piece: Piece = { value: entry, data, path: [key, n] };
      const same = isMap(entry) ? entry[identity] : undefined;
      const at = pieces.findIndex(
        (each) => each.data !== data && same !== undefined && isMap(each.value) && each.value[identity] === same,
      );
      if (at < 0) pieces.push(piece);
      else pieces[at] = piece;
    }
    return { kind: 'list', whole, pieces: new Map(pieces.map((piece, n) => [n, piece])) };
  }
  if (maps.has(key) && isMap(value)) {
    const own = Object.entries(value).map(([name, inner]): [string, Piece] => [
      name,
      { value: inner, data, path: [key, name] },
    ]);
    return { kind: 'map', whole, pieces: new Map([...(before?.kind === 'map' ? before.pieces : []), ...own]) };
  }
  return { kind: 'value', piece: { value, ...whole } };
}

function valueOf(slot: Slot): unknown {
  if (slot.kind === 'value') return slot.piece.value;
  const pieces = [...slot.pieces].map(([key, { value }]) => [key, value] as const);
  return slot.kind === 'list' ? pieces.map(([, value]) => value) : Object.fromEntries(pieces);
}

/**
 * One bundle of several files, those that it extends first and itself last: each says more, or otherwise. Places lead to
 * the file that a value comes from.
 */
export function mergeBundles(layers: readonly PlacedData[]): PlacedData {
  const own = layers.at(-1);
  if (own === undefined) throw new Error('a bundle of no file');
  if (layers.length === 1) return own;
  const slots = new Map<string, Slot>();
  for (const data of layers) {
    for (const [key, value] of Object.entries(isMap(data.value) ? data.value : {})) {
      if (data !== own && ownKeys.has(key)) continue;
      slots.set(key, merge(key, slots.get(key), value, data));
    }
  }
  const originOf = (path: YamlPath): Origin => {
    const [top, key, ...rest] = path;
    const slot = slots.get(String(top));
    if (slot === undefined) return { data: own, path };
    if (slot.kind === 'value') return { data: slot.piece.data, path };
    const piece = key === undefined ? undefined : slot.pieces.get(key);
    return piece === undefined ? slot.whole : { data: piece.data, path: [...piece.path, ...rest] };
  };
  const at = <T>(path: YamlPath, look: (origin: Origin) => T): T => look(originOf(path));
  return {
    value: Object.fromEntries([...slots].map(([key, slot]) => [key, valueOf(slot)])),
    place: (path): Place => at(path, (origin) => origin.data.place(origin.path)),
    keyPlace: (path): Place => at(path, (origin) => origin.data.keyPlace(origin.path)),
    source: (path) => at(path, (origin) => origin.data.source(origin.path)),
  };
}
