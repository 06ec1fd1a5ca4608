// Compiles src/ to dist/ and copies what is not TypeScript; bundles the workflows for the worker; names the build.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'tsconfig.build.json'], { stdio: 'inherit' });
cpSync('src', 'dist', {
  recursive: true,
  filter: (path) => !path.includes('.') || path.endsWith('.sh') || path.endsWith('.py'),
});
const bundler = './dist/worker/bundle.js';
if (existsSync(bundler)) await import(new URL(`../${bundler}`, import.meta.url)).then((module) => module.buildBundle());

// Names this build, so that a process of another one can be told from ours (src/host/build.ts).
const hash = createHash('sha256');
const built = readdirSync('dist', { recursive: true }).filter((name) => /\.(js|sh|py)$/.test(name));
for (const name of built.toSorted((a, b) => a.localeCompare(b))) {
  hash.update(`${name}\0`).update(readFileSync(`dist/${name}`));
}
writeFileSync('dist/build.json', `${JSON.stringify({ id: hash.digest('hex'), builtAtMs: Date.now() })}\n`);
