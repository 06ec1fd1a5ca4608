import type { z } from 'zod';

/** The parts of zod's own description of a schema that a look into it needs. */
interface Definition {
  readonly type: string;
  readonly shape?: Readonly<Record<string, z.core.$ZodType>>;
  readonly innerType?: z.core.$ZodType;
  readonly in?: z.core.$ZodType;
  readonly element?: z.core.$ZodType;
  readonly valueType?: z.core.$ZodType;
  readonly options?: readonly z.core.$ZodType[];
}

const definitionOf = (schema: z.core.$ZodType): Definition => schema._zod.def;

/** Optional, default and pipe wrappers taken off, unions spread. */
function plain(schema: z.core.$ZodType): readonly Definition[] {
  const definition = definitionOf(schema);
  if (definition.options !== undefined) return definition.options.flatMap(plain);
  const inner = definition.innerType ?? definition.in;
  return inner === undefined ? [definition] : plain(inner);
}

/** What may stand at the path, one entry for each branch of a union. */
function definitionsAt(schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly Definition[] {
  return path.reduce<readonly Definition[]>(
    (found, key) =>
      found.flatMap((definition) => {
        const next = definition.shape?.[String(key)] ?? definition.element ?? definition.valueType;
        return next === undefined ? [] : plain(next);
      }),
    plain(schema),
  );
}

/** The keys that a map at the path may have. */
export const knownKeys = (schema: z.core.$ZodType, path: readonly PropertyKey[]): readonly string[] =>
  definitionsAt(schema, path).flatMap((definition) => Object.keys(definition.shape ?? {}));

/** Whether a list of words (and not of maps) is wanted at the path. */
export const wantsWords = (schema: z.core.$ZodType, path: readonly PropertyKey[]): boolean =>
  definitionsAt(schema, path).some(
    ({ element }) => element !== undefined && plain(element).some(({ type }) => type === 'string'),
  );
