import type { CloudConfig } from './cloud-config.ts';

/** What stands for a secret where people look. */
export const hiddenSecret = '(secret)';

type Path = readonly (string | number)[];

const isMap = (value: unknown): value is CloudConfig =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Keys whose values are secrets wherever they stand: ours, cloud-init's, and what operators call so. */
const secretKey = /passw|secret|token|private|^chpasswd$|credential/i;
/** A file that holds a guest's proof of itself. */
const secretFile = /\/boot-string$/;

function changed(value: unknown, change: (value: unknown, path: Path) => unknown, path: Path): unknown {
  const key = path.at(-1);
  const isPolicy = typeof value === 'boolean';
  if (typeof key === 'string' && secretKey.test(key) && !isPolicy) return change(value, path);
  if (Array.isArray(value)) return value.map((each, n) => changed(each, change, [...path, n]));
  if (!isMap(value)) return value;
  const holdsSecret = typeof value['path'] === 'string' && secretFile.test(value['path']);
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [
      name,
      holdsSecret && name === 'content' ? change(each, [...path, name]) : changed(each, change, [...path, name]),
    ]),
  );
}

/** The document without its secrets, for people. */
export const withoutSecrets = (config: CloudConfig): CloudConfig =>
  changed(config, () => hiddenSecret, []) as CloudConfig;

const at = (config: unknown, path: Path): unknown =>
  path.reduce<unknown>((found, key) => (found as Record<PropertyKey, unknown> | null | undefined)?.[key], config);

/** What says who the machine is: it is made once. */
const fixed = ['hostname', 'preserve_hostname', 'ssh_deletekeys', 'ssh_keys'] as const;

export interface Restored {
  readonly config: CloudConfig;
  /** What cannot be so: a secret that is not there, an identity that was changed. */
  readonly mistakes: readonly string[];
}

/** What a person has made of the document without its secrets, with them again. */
export function withSecrets(edited: CloudConfig, current: CloudConfig): Restored {
  const mistakes: string[] = [];
  const restored = changed(
    edited,
    (value, path) => {
      if (value !== hiddenSecret) return value;
      const known = at(current, path);
      if (known === undefined) mistakes.push(`${path.join('.')} is ${hiddenSecret}, and there was none at that place`);
      return known;
    },
    [],
  ) as CloudConfig;
  for (const key of fixed)
    if (JSON.stringify(restored[key]) !== JSON.stringify(current[key])) mistakes.push(`${key} is slipway’s to say`);
  return { config: restored, mistakes };
}
