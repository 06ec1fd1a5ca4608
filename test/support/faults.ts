import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Rule } from '../../src/providers/faults/fault-file.ts';
import type { FaultLine } from '../../src/providers/faults/fault-log.ts';

/** Rules as a person writes them: defaults left out. */
export type Faults = Readonly<Record<string, readonly (Rule | Readonly<Record<string, unknown>>)[]>>;

/** Lays `faults.json` of a state folder as a whole: it is read at any moment. `{}` takes all faults back. */
export function turnFaults(state: string, faults: Faults): void {
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const path = join(state, 'faults.json');
  writeFileSync(`${path}.part`, JSON.stringify(faults), { mode: 0o600 });
  renameSync(`${path}.part`, path);
}

/** What has struck so far, oldest first. */
export function struckFaults(state: string): readonly FaultLine[] {
  try {
    const lines = readFileSync(join(state, 'faults.log'), 'utf8').split('\n').slice(0, -1);
    return lines.map((line) => JSON.parse(line) as FaultLine);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
