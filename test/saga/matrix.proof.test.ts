import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { matrixOf, matrixPlace } from './matrix.ts';

test('docs/saga.md is the matrix that the kit runs (npm run saga writes it)', async () => {
  expect(await readFile(matrixPlace, 'utf8')).toBe(matrixOf());
});
