import { fileURLToPath } from 'node:url';

/** The path of a built script, from its path below `dist/`. Processes run built code, also when we run from source. */
export const built = (script: string): string =>
  fileURLToPath(new URL(import.meta.url.endsWith('.ts') ? `../../dist/${script}` : `../${script}`, import.meta.url));
