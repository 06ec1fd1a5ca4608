import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { lastStage } from '../../src/domain/last-stage.ts';
import type { GuestFile, GuestScript } from '../../src/domain/user-data.ts';
import { freshFolder } from '../output/store-kit.ts';

/** As cloud-init runs it, only in a folder of the test's. */
async function ran(files: readonly GuestFile[], scripts: readonly GuestScript[]) {
  const folder = await freshFolder();
  const at = join(folder, 'boot');
  const text = lastStage(
    files.map((file) => ({ ...file, path: join(folder, file.path) })),
    scripts,
  )?.replaceAll('/var/lib/slipway/boot', at);
  const { status, stdout } = spawnSync('sh', { input: text ?? '', encoding: 'utf8' });
  const read = async (path: string): Promise<string> => readFile(join(folder, path), 'utf8');
  return { folder, read, status, stdout, result: await read('boot/result'), words: await read('boot/words') };
}

describe('the last stage of a machine’s configuration', () => {
  it('is nothing where there is nothing to do', () => {
    expect(lastStage([], [])).toBeUndefined();
  });

  it('installs files whole, with their modes and missing folders, then runs its scripts in order', async () => {
    const text = "it's 'quoted' $HOME `x`\n\n";
    const stage = await ran(
      [
        { path: '/etc/deep/a', text, mode: '0600' },
        { path: '/b', text: '' },
      ],
      [
        { command: ['echo', "a b'c"] },
        { command: { shell: 'echo "$GREETING" && false' }, env: { GREETING: 'ahoy there' }, allowFailure: true },
        { command: { shell: '#!/bin/cat\nshown' } },
      ],
    );
    expect([stage.status, stage.result, stage.words]).toEqual([0, '0\n', '']);
    expect(await stage.read('etc/deep/a')).toBe(text);
    expect((await stat(join(stage.folder, 'etc/deep/a'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(stage.folder, 'etc/deep'))).mode & 0o777).toBe(0o755);
    expect((await stat(join(stage.folder, 'b'))).mode & 0o777).toBe(0o644);
    expect(await stage.read('boot/1.log')).toBe("a b'c\n");
    expect(await stage.read('boot/2.log')).toBe('ahoy there\n');
    expect(await stage.read('boot/3.log')).toBe('#!/bin/cat\nshown\n');
  });

  it('ends at the first script that fails, and keeps its code and its words', async () => {
    const stage = await ran(
      [],
      [
        { title: 'register', command: { shell: 'echo trying; echo "no licence" >&2; exit 7' } },
        { command: ['touch', '/never'] },
      ],
    );
    expect([stage.status, stage.result]).toEqual([7, '7\n']);
    expect(stage.words).toBe('script 1 (register) exited 7: trying\nno licence');
    expect(existsSync(join(stage.folder, 'boot/2.log'))).toBe(false);
  });

  it('ends at a file that cannot be written, and leaves no half of it', async () => {
    const stage = await ran([{ path: '/a', text: 'x', owner: 'nobody-of-this-name' }], [{ command: ['true'] }]);
    expect([stage.status, stage.result]).toEqual([1, '1\n']);
    expect(stage.words).toMatch(/^file .*\/a: .*nobody-of-this-name/s);
    expect(existsSync(join(stage.folder, 'a'))).toBe(false);
    expect(existsSync(join(stage.folder, 'boot/1.log'))).toBe(false);
  });

  it('gives a program its words as they are', async () => {
    const word = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'));
    await fc.assert(
      fc.asyncProperty(word, async (text) => {
        const stage = await ran([{ path: '/a', text }], [{ command: ['printf', '%s', text] }]);
        expect([await stage.read('a'), await stage.read('boot/1.log')]).toEqual([text, text]);
      }),
      { numRuns: 15 },
    );
  });
});
