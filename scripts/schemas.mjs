// Writes schemas/*.json from the zod contract, as `npm run build` left it in dist/.
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { format } from 'prettier';
import { jsonSchemas } from '../dist/contract/schemas.js';

const folder = fileURLToPath(new URL('../schemas/', import.meta.url));
mkdirSync(folder, { recursive: true });
const schemas = jsonSchemas();
for (const file of readdirSync(folder)) if (!(file.replace(/\.json$/, '') in schemas)) rmSync(folder + file);
for (const [name, schema] of Object.entries(schemas)) {
  writeFileSync(`${folder}${name}.json`, await format(JSON.stringify(schema), { parser: 'json', printWidth: 120 }));
}
