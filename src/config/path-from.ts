import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

/** A path in an operator's file: from the home folder, absolute, or from the folder of that file. */
export const pathFrom = (folder: string, path: string): string =>
  path.startsWith('~/') ? join(homedir(), path.slice(2)) : resolve(folder, path);
