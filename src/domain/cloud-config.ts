import { isMap } from './is-map.ts';

/** A mapping of cloud-init, as `#cloud-config` holds it: JSON values, nothing else. */
export type CloudConfig = Readonly<Record<string, unknown>>;

type Path = readonly (string | number)[];

export interface Merged {
  readonly config: CloudConfig;
  /** Where the second says otherwise than the first. */
  readonly conflicts: readonly Path[];
}

/** Keys whose last entry is the first's: what ends the configuration must come after all that belongs to it. */
const oursLast: ReadonlySet<string> = new Set(['runcmd']);

/**
 * Both in one document, for two parts with the same key would replace each other: lists are appended, maps are merged key
 * by key, and of a value that both have both must say the same.
 */
export function mergedConfig(ours: CloudConfig, theirs: CloudConfig, path: Path = []): Merged {
  const config = new Map<string, unknown>(Object.entries(ours));
  const conflicts: Path[] = [];
  for (const [key, value] of Object.entries(theirs)) {
    const at = [...path, key];
    const own = config.get(key);
    if (own === undefined) config.set(key, value);
    else if (Array.isArray(own) && Array.isArray(value)) {
      const [first, second]: unknown[][] = oursLast.has(key) ? [value, own] : [own, value];
      config.set(key, [...(first ?? []), ...(second ?? [])]);
    } else if (isMap(own) && isMap(value)) {
      const inner = mergedConfig(own, value, at);
      config.set(key, inner.config);
      conflicts.push(...inner.conflicts);
    } else if (own !== value) conflicts.push(at);
  }
  return { config: Object.fromEntries(config), conflicts };
}

/** Characters that YAML 1.1 (which cloud-init reads) does not take as they are, though JSON does. */
const unprintable = /[\u007f-\u009f\u2028\u2029\ufffe\uffff]/g;

/** The document: its header and JSON, which is YAML without any of YAML's guesses (`no`, `0644`, `1:30`). */
export const cloudConfigText = (config: CloudConfig): string => {
  const json = JSON.stringify(config).replaceAll(
    unprintable,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `#cloud-config\n${json}\n`;
};
