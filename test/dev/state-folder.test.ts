import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { stateFolder } from '../../src/config/state-folder.ts';
import { ensureStack, findStack, runForeground } from '../../src/dev/stack.ts';
import { prepareStateFolder } from '../../src/dev/state-folder-life.ts';
import { freshFolder } from '../output/store-kit.ts';

it('a state folder that is a file, or lies below one, is the caller’s to change', async () => {
  const file = join(await freshFolder(), 'file');
  await writeFile(file, '');
  for (const state of [stateFolder(file), stateFolder(join(file, 'below', '.slipway'))]) {
    const refused = expect.objectContaining({
      type: 'InvalidRequest',
      message: expect.stringMatching(new RegExp(`^The state folder ${state.root} cannot be used: E`)) as string,
    }) as Error;
    await expect(findStack(state)).rejects.toThrow(refused);
    await expect(ensureStack(state, { mode: 'background' })).rejects.toThrow(refused);
    await expect(runForeground(state, { onReady: () => undefined, say: () => undefined })).rejects.toThrow(refused);
  }
});

describe('a folder for the state', () => {
  const modeOf = async (folder: string): Promise<number> => (await stat(folder)).mode & 0o777;

  it('that is full of other things is refused by every way to start, and stays as it was', async () => {
    const folder = await freshFolder();
    const names = ['Makefile', 'output', 'package.json', 'readme', 'src'];
    for (const name of names) await writeFile(join(folder, name), '');
    const mode = await modeOf(folder);
    const state = stateFolder(folder);
    const refused = expect.objectContaining({
      type: 'InvalidRequest',
      message: `The folder ${folder} is no state folder: it holds Makefile, package.json, readme and 1 more.`,
      hint: `Use an empty folder or a new one, such as --state ${folder}/.slipway.`,
    }) as Error;
    await expect(ensureStack(state, { mode: 'background' })).rejects.toThrow(refused);
    await expect(runForeground(state, { onReady: () => undefined, say: () => undefined })).rejects.toThrow(refused);
    await expect(prepareStateFolder(state)).rejects.toThrow(refused);
    expect((await readdir(folder)).toSorted()).toEqual(names);
    expect(await modeOf(folder)).toBe(mode);
  });

  it.each([
    ['is empty', []],
    ['was half made before a kill', ['version.4711-0a1b', '.part-4711-0a1b']],
    ['holds parts of one', ['token', 'local', 'log', '.gitignore', 'temporal.db-wal']],
    ['is a disk of its own', ['lost+found']],
  ])('that %s is taken', async (_how, names) => {
    const folder = await freshFolder();
    for (const name of names) {
      if (['local', 'log', 'lost+found'].includes(name)) await mkdir(join(folder, name));
      else await writeFile(join(folder, name), '');
    }
    const first = await prepareStateFolder(stateFolder(folder));
    expect(await modeOf(folder)).toBe(0o700);
    // What a person leaves in one of ours is no reason to refuse it.
    await writeFile(join(folder, 'notes.txt'), '');
    expect(await prepareStateFolder(stateFolder(folder))).toEqual(first);
  });

  it('of another format stays as it is', async () => {
    const folder = await freshFolder();
    await writeFile(join(folder, 'version'), '2\n');
    await chmod(folder, 0o755);
    const refused = expect.objectContaining({
      type: 'InvalidRequest',
      message: expect.stringContaining('format 2') as string,
    }) as Error;
    await expect(prepareStateFolder(stateFolder(folder))).rejects.toThrow(refused);
    await expect(ensureStack(stateFolder(folder), { mode: 'background' })).rejects.toThrow(refused);
    expect([await readdir(folder), await modeOf(folder)]).toEqual([['version'], 0o755]);
  });
});
