import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { createFileOutputStore } from '../../src/output/file-output-store.ts';
import { freshFolder, roomy, sha256 } from './store-kit.ts';

const built = fileURLToPath(new URL('../../dist/output/file-output-store.js', import.meta.url));

/** Copies the source into the store from where the store says that it is, and tells each offset that is said to be kept. */
const writerProgram = `
import { readFileSync } from 'node:fs';
const [module, root, source] = process.argv.slice(1);
const { createFileOutputStore } = await import(module);
const bytes = readFileSync(source);
const writer = await createFileOutputStore(root).open('a/b', 2 ** 30);
for (let n = 0; writer.offsets.stdout < bytes.length; n += 1) {
  const at = Math.max(0, writer.offsets.stdout - (n % 3) * 500);
  await writer.write('stdout', at, bytes.subarray(at, at + 4096 + (n % 7) * 1111));
  process.stdout.write(writer.offsets.stdout + '\\n');
}
await writer.close();
`;

it('output is whole and without repeats when its writer is killed again and again', async () => {
  expect(existsSync(built), 'npm run build comes first').toBe(true);
  const root = await freshFolder();
  const source = join(root, 'source');
  const bytes = randomBytes(4_000_000);
  await writeFile(source, bytes);
  let kills = 0;
  for (let round = 1; ; round += 1) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', writerProgram, built, root, source], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const closed = once(child, 'close');
    let told = 0;
    let lines = 0;
    for await (const line of createInterface({ input: child.stdout })) {
      told = Number(line);
      lines += 1;
      if (lines === round * 20) child.kill('SIGKILL');
    }
    await closed;
    const stored = await readFile(join(root, 'a/b/out'));
    expect(stored.length).toBeGreaterThanOrEqual(told);
    expect(stored.equals(bytes.subarray(0, stored.length))).toBe(true);
    if (child.exitCode === 0) break;
    kills += 1;
  }
  expect(kills).toBeGreaterThan(3);
  const writer = await createFileOutputStore(root).open('a/b', roomy);
  const { stdout } = await writer.finish({ stdout: bytes.length, stderr: 0 });
  await writer.close();
  expect(stdout).toEqual({ bytes: bytes.length, keptBytes: bytes.length, cut: false, sha256: sha256(bytes) });
});
