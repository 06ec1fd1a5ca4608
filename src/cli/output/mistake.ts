import { relative } from 'node:path';
import type { BundleMistake, BundleView } from '../../contract/bundle-views.ts';
import type { Cli } from '../context.ts';
import { harmless } from './table.ts';

/** Its place first, as an editor or a terminal takes it, from where the person stands. */
export function mistakeLine(cwd: string, { file, line, col, path, message }: BundleMistake): string {
  const near = relative(cwd, file);
  return `${near.startsWith('..') ? file : near}:${line}:${col}   ${path === '' ? '' : `${path}: `}${harmless(message)}`;
}

export const inForceText = ({ version = '', since }: BundleView): string =>
  `version ${version}${since === undefined ? '' : ` of ${since}`} is in force`;

/** The file as it stands is not what is leased: said wherever the bundle is shown. */
export function sayMistakes(cli: Pick<Cli, 'io' | 'say'>, bundle: BundleView): void {
  if (bundle.mistakes.length === 0) return;
  for (const each of bundle.mistakes) cli.say(mistakeLine(cli.io.cwd, each));
  cli.say(
    bundle.inForce ? `Until that is mended ${inForceText(bundle)}.` : 'No version is in force until that is mended.',
  );
}
