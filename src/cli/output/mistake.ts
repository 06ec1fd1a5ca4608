import { relative } from 'node:path';
import type { BundleMistake } from '../../contract/bundle-views.ts';
import { harmless } from './table.ts';

/** Its place first, as an editor or a terminal takes it, from where the person stands. */
export function mistakeLine(cwd: string, { file, line, col, path, message }: BundleMistake): string {
  const near = relative(cwd, file);
  return `${near.startsWith('..') ? file : near}:${line}:${col}   ${path === '' ? '' : `${path}: `}${harmless(message)}`;
}
