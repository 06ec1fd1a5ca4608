import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cell } from './cells.ts';

/** What a cell came to. */
export interface Recorded extends Cell {
  readonly outcome: string;
  /** How often its fault happened. */
  readonly fired: number;
}

/** Of one test file; kept for the matrix where `SLIPWAY_SAGA_RECORDS` names a folder. */
export function createRecord(name: string) {
  const cells: Recorded[] = [];
  return {
    add: (cell: Recorded): void => void cells.push(cell),
    async write(): Promise<void> {
      const folder = process.env['SLIPWAY_SAGA_RECORDS'];
      if (folder === undefined) return;
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, `${name}.json`), JSON.stringify(cells));
    },
  };
}
