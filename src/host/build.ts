import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** What the build writes beside the built code; processes run built code, also when their clients run from source. */
export interface Build {
  /** Of all that was built. */
  readonly id: string;
  readonly builtAtMs: number;
}

const path = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../dist/build.json' : '../build.json', import.meta.url),
);

/** Of what lies on the disk now: another may have been put in the place of the one that runs. */
export const buildOnDisk = (): Build => JSON.parse(readFileSync(path, 'utf8')) as Build;

/**
 * Whether a process of that build should make room for one of ours. Only the later build says so: two that share a folder
 * must not chase each other away.
 * @param theirs absent: from before builds were told apart
 */
export const isOutdated = (theirs: Build | undefined, ours: Build): boolean =>
  theirs === undefined || (theirs.id !== ours.id && theirs.builtAtMs < ours.builtAtMs);
