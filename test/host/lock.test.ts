import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { built } from '../../src/dev/built.ts';
import { lockHolder, takeLock } from '../../src/host/lock.ts';

let folder: string;
let path: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-lock-'));
  path = join(folder, 'run', 'stack.lock');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

test('a lock that is held says by whom, and is free after its release', async () => {
  const first = await takeLock(path);
  expect(first.held).toBe(true);
  const second = await takeLock(path);
  expect(second).toMatchObject({ held: false, by: { pid: process.pid } });
  expect(await lockHolder(path)).toMatchObject({ pid: process.pid });
  if (first.held) await first.release();
  expect(await lockHolder(path)).toBeUndefined();
  expect((await takeLock(path)).held).toBe(true);
});

test('a lock of a dead process, or of an earlier process with a living pid, counts for nothing', async () => {
  const dead = spawn(process.execPath, ['-e', '']);
  await once(dead, 'exit');
  await takeLock(path);
  await writeFile(`${path}.7`, JSON.stringify({ pid: dead.pid, start: 'x', since: '' }));
  expect(await lockHolder(path)).toBeUndefined();
  await writeFile(`${path}.8`, JSON.stringify({ pid: process.pid, start: 'another life', since: '' }));
  expect((await takeLock(path)).held).toBe(true);
  expect(await readdir(join(folder, 'run'))).toEqual(['stack.lock.9']);
});

test(
  'a lock that was killed away from its holders again and again is held by one at a time',
  { timeout: 60_000 },
  async () => {
    // Each contender takes the lock over the dead one before, looks whether it is alone, and dies without letting go.
    const contender = `
    import { takeLock } from ${JSON.stringify(pathToFileURL(built('host/lock.js')).href)};
    import { openSync, closeSync, rmSync } from 'node:fs';
    for (;;) {
      const lock = await takeLock(${JSON.stringify(path)});
      if (!lock.held) continue;
      closeSync(openSync(${JSON.stringify(join(folder, 'inside'))}, 'wx'));
      await new Promise((done) => setImmediate(done));
      rmSync(${JSON.stringify(join(folder, 'inside'))});
      process.kill(process.pid, 'SIGKILL');
    }`;
    const ends = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const child = spawn(process.execPath, ['--input-type=module', '-e', contender], {
          stdio: ['ignore', 'ignore', 'pipe'],
        });
        let said = '';
        child.stderr.on('data', (data: Buffer) => (said += data.toString()));
        const [, signal] = (await once(child, 'close')) as [number | null, string | null];
        return `${signal}${said}`;
      }),
    );
    expect(ends).toEqual(Array.from({ length: 8 }, () => 'SIGKILL'));
    expect((await takeLock(path)).held).toBe(true);
  },
);
