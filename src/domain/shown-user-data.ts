import type { CloudConfig } from './cloud-config.ts';
import { isMap } from './is-map.ts';

/** What stands for a secret where people look. */
export const hiddenSecret = '(secret)';

/** Keys whose values are secrets wherever they stand: ours, cloud-init's, and what operators call so. */
const secretKey =
  /passw|secret|token|private|credential|^(chpasswd|random_seed)$|(validation|registration|activation|storage|access|auth|api)[-_]?(key|cert)/i;
/** A file that holds a guest's proof of itself, or its bundle's files and parameters. */
const secretFile = /^\/var\/lib\/slipway\/boot\/(boot-string|last-stage)$/;

/** Files whose content is secret: ours, and a WireGuard interface's, which has its private key. */
const holdsSecret = ({ path, config_path: ofWireGuard }: CloudConfig): boolean =>
  typeof ofWireGuard === 'string' || (typeof path === 'string' && secretFile.test(path));

function shown(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(shown);
  if (!isMap(value)) return value;
  const hides = (key: string, each: unknown): boolean =>
    (secretKey.test(key) && typeof each !== 'boolean') || (key === 'content' && holdsSecret(value));
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, hides(key, each) ? hiddenSecret : shown(each)]),
  );
}

/** The document without its secrets, for people. */
export const withoutSecrets = (config: CloudConfig): CloudConfig => shown(config) as CloudConfig;

/** Whose the secrets in it are: the user's of that name, the file's of that path. */
const ownerOf = (value: unknown): unknown => (isMap(value) ? (value['name'] ?? value['path']) : undefined);

/** An entry that no name or path tells from others is the same as long as all that is seen of it is. */
const isSame = (edited: unknown, current: unknown): boolean =>
  ownerOf(edited) === ownerOf(current) &&
  (ownerOf(edited) !== undefined || JSON.stringify(edited) === JSON.stringify(shown(current)));

/** What the entry is now, wherever it stands; undefined where it cannot be told. */
function entryBefore(entry: unknown, edited: readonly unknown[], current: readonly unknown[]): unknown {
  const before = current.filter((each) => isSame(entry, each));
  const after = edited.filter((each) => isSame(each, before[0]));
  return before.length === after.length ? before[after.indexOf(entry)] : undefined;
}

/** What says who the machine is: it is made once. */
const fixed = ['hostname', 'preserve_hostname', 'ssh_deletekeys', 'ssh_keys'] as const;

export interface Restored {
  readonly config: CloudConfig;
  /** What cannot be so: a secret that is not there, an identity that was changed. */
  readonly mistakes: readonly string[];
}

/** What a person has made of the document without its secrets, with them again: each for whom it was. */
export function withSecrets(edited: CloudConfig, current: CloudConfig): Restored {
  const mistakes: string[] = [];
  const restored = (value: unknown, before: unknown, path: readonly (string | number)[]): unknown => {
    if (value === hiddenSecret) {
      if (before === undefined) mistakes.push(`${path.join('.')} is ${hiddenSecret}, and there was none at that place`);
      return before;
    }
    if (Array.isArray(value)) {
      const entries: readonly unknown[] = Array.isArray(before) ? before : [];
      return value.map((each, n) => restored(each, entryBefore(each, value, entries), [...path, n]));
    }
    if (!isMap(value)) return value;
    const same = new Map(Object.entries(isMap(before) && ownerOf(before) === ownerOf(value) ? before : {}));
    return Object.fromEntries(
      Object.entries(value).map(([key, each]) => [key, restored(each, same.get(key), [...path, key])]),
    );
  };
  const config = restored(edited, current, []) as CloudConfig;
  for (const key of fixed)
    if (JSON.stringify(config[key]) !== JSON.stringify(current[key])) mistakes.push(`${key} is slipway’s to say`);
  return { config, mistakes };
}
