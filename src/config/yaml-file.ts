import { isAlias, isCollection, isMap, isPair, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type { Document, Node } from 'yaml';

export type YamlPath = readonly PropertyKey[];

export interface Place {
  readonly file: string;
  readonly line: number;
  readonly col: number;
}

/** Data that still knows where everything stood. */
export interface PlacedData {
  readonly value: unknown;
  /** Where a value stands; of one that is not there, where its parent does. */
  readonly place: (path: YamlPath) => Place;
  readonly keyPlace: (path: YamlPath) => Place;
  /** As it was written; undefined for what is no plain value. */
  readonly source: (path: YamlPath) => string | undefined;
}

/** A parsed file. */
export interface YamlFile extends PlacedData {
  /** What YAML itself objects to. */
  readonly broken: readonly (Place & { readonly message: string })[];
  /** Broken in a way that leaves nothing to check further. */
  readonly unreadable: boolean;
}

/** After these the rest of the file can still be checked. */
const mild: ReadonlySet<string> = new Set(['DUPLICATE_KEY', 'TAG_RESOLVE_FAILED']);

export function parseYaml(file: string, text: string): YamlFile {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = [...document.errors, ...document.warnings];
  const at = (offset: number): Place => {
    const { line, col } = lines.linePos(offset);
    // An empty file, and what comes before the first line, is at the beginning.
    return { file, line: Math.max(line, 1), col: Math.max(col, 1) };
  };
  const broken = problems.map((problem) => ({ ...at(problem.pos[0]), message: `YAML: ${problem.message}` }));

  const placeOf = (path: YamlPath): Place => {
    for (let length = path.length; length >= 0; length -= 1) {
      const start = nodeAt(document, path.slice(0, length))?.range?.[0];
      if (start !== undefined) return at(start);
    }
    return { file, line: 1, col: 1 };
  };

  const data = dataOf(document);
  return {
    value: data.value,
    broken:
      data.failed === undefined ? broken : [...broken, { file, line: 1, col: 1, message: `YAML: ${data.failed}` }],
    place: placeOf,
    keyPlace: (path) => {
      const key = keyNode(document, path);
      return key?.range?.[0] === undefined ? placeOf(path) : at(key.range[0]);
    },
    source: (path) => {
      const node = nodeAt(document, path);
      return isScalar(node) ? node.source : undefined;
    },
    unreadable: data.failed !== undefined || problems.some((problem) => !mild.has(problem.code)),
  };
}

/** Aliases are followed here, and their number is bounded: a "billion laughs" file ends here. */
function dataOf(document: Document): { readonly value?: unknown; readonly failed?: string } {
  try {
    return { value: document.toJS({ maxAliasCount: 100 }) as unknown };
  } catch (error) {
    return { failed: error instanceof Error ? error.message : String(error) };
  }
}

function resolved(document: Document, node: unknown): Node | undefined {
  if (isAlias(node)) return node.resolve(document);
  return isCollection(node) || isScalar(node) ? node : undefined;
}

function pairAt(document: Document, parent: unknown, key: PropertyKey | undefined) {
  const map = resolved(document, parent);
  if (!isMap(map)) return undefined;
  // The last of several, as in the data: that there are several is a mistake of its own.
  return map.items.findLast((pair) => isPair(pair) && isScalar(pair.key) && String(pair.key.value) === String(key));
}

function nodeAt(document: Document, path: YamlPath): Node | undefined {
  let node: Node | undefined = resolved(document, document.contents);
  for (const key of path) {
    const child: unknown = isSeq(node) ? node.items[Number(key)] : pairAt(document, node, key)?.value;
    node = resolved(document, child);
  }
  return node;
}

function keyNode(document: Document, path: YamlPath): Node | undefined {
  const key = pairAt(document, nodeAt(document, path.slice(0, -1)), path.at(-1))?.key;
  return isScalar(key) ? key : undefined;
}
