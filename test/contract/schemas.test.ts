import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { jsonSchemas } from '../../src/contract/schemas.ts';

const folder = fileURLToPath(new URL('../../schemas/', import.meta.url));

it('the published JSON Schemas are those of the contract (else: npm run build && node scripts/schemas.mjs)', () => {
  const published = Object.fromEntries(
    readdirSync(folder).map((file) => [
      file.replace(/\.json$/, ''),
      JSON.parse(readFileSync(folder + file, 'utf8')) as unknown,
    ]),
  );
  expect(published).toEqual(JSON.parse(JSON.stringify(jsonSchemas())));
});
