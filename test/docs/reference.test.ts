import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const folder = fileURLToPath(new URL('../../docs/reference/', import.meta.url));
const script = new URL('../../scripts/reference.mjs', import.meta.url).href;

it('the reference is that of the program as it is built (else: npm run reference)', async () => {
  const { references } = (await import(script)) as { references: () => Promise<Readonly<Record<string, string>>> };
  const published = Object.fromEntries(readdirSync(folder).map((file) => [file, readFileSync(folder + file, 'utf8')]));
  expect(published).toEqual(await references());
});
