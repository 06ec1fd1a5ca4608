import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { createFileOutputStore } from '../../src/output/file-output-store.ts';
import { freshFolder, roomy, sha256 } from './store-kit.ts';

const built = fileURLToPath(new URL('../../dist/output/file-output-store.js', import.meta.url));

/** Writes more than it may, in one chunk that fits in part and one that does not fit at all. */
const program = `
const [module, root] = process.argv.slice(1);
const { createFileOutputStore } = await import(module);
const writer = await createFileOutputStore(root).open('a/b', 2 ** 30);
const told = [];
for (const round of [1, 2]) {
  const at = writer.offsets.stdout;
  await writer.write('stdout', at, Buffer.alloc(100_000 - at, 'x')).catch((error) => told.push(error.type, error.message));
}
const { stdout } = await writer.finish({ stdout: 0, stderr: 0 });
await writer.close();
console.log(JSON.stringify({ told, stdout, offset: writer.offsets.stdout }));
`;

it('a chunk that the disk takes only in part is kept in part, and goes on when there is space again', async () => {
  expect(existsSync(built), 'npm run build comes first').toBe(true);
  const root = await freshFolder();
  // The limit on a file's size stands in for a disk's end: both take what fits, then refuse.
  const limited = [
    '-c',
    'ulimit -f 20 && exec "$@"',
    'sh',
    process.execPath,
    '--input-type=module',
    '-e',
    program,
    built,
    root,
  ];
  const { stdout: said } = await promisify(execFile)('sh', limited);
  const { told, stdout, offset } = JSON.parse(said) as { told: string[]; stdout: { sha256: string }; offset: number };
  const { size } = await stat(join(root, 'a/b/out'));
  expect(size).toBeGreaterThan(0);
  expect(size).toBeLessThan(100_000);
  expect(offset).toBe(size);
  expect(stdout.sha256).toBe(sha256('x'.repeat(size)));
  const refusal = `Could not store stdout of task a/b at byte ${size}: the file may not grow further on its disk`;
  expect(told).toEqual(['Internal', expect.stringContaining(refusal), 'Internal', expect.stringContaining(refusal)]);

  const writer = await createFileOutputStore(root).open('a/b', roomy);
  await writer.write('stdout', size, Buffer.alloc(100_000 - size, 'x'));
  expect((await writer.finish({ stdout: 0, stderr: 0 })).stdout).toMatchObject({
    keptBytes: 100_000,
    sha256: sha256('x'.repeat(100_000)),
  });
  await writer.close();
});
