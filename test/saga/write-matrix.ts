import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { matrixOf, matrixPlace, missingIn } from './matrix.ts';
import type { Recorded } from './record.ts';

/** Collects what the test files record, and writes the matrix when all of its cells have held. */
export default async function setUp(): Promise<() => Promise<void>> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-saga-records-'));
  process.env['SLIPWAY_SAGA_RECORDS'] = folder;
  return async () => {
    const parts = await Promise.all((await readdir(folder)).map((name) => readFile(join(folder, name), 'utf8')));
    await rm(folder, { recursive: true });
    const records = parts.flatMap((part) => JSON.parse(part) as Recorded[]);
    const missing = missingIn(records);
    const faults = records.reduce((sum, { fired }) => sum + fired, 0);
    process.stdout.write(`saga: ${records.length - missing.length} cells held, ${faults} faults fired\n`);
    if (missing.length > 0) throw new Error(`These cells have not held, docs/saga.md stays:\n${missing.join('\n')}`);
    await writeFile(matrixPlace, matrixOf());
  };
}
