import { mkdtemp, readFile, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createOnce } from '../../src/config/create-once.ts';
import { createInstallation, installationId, readInstallation } from '../../src/config/installation.ts';
import { readStackFile, writeStackFile, type StackFile } from '../../src/config/stack-file.ts';
import { stateFolder, type StateFolder } from '../../src/config/state-folder.ts';
import { prepareStateFolder } from '../../src/dev/state-folder-life.ts';

let folder: string;
let state: StateFolder;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-installation-'));
  state = stateFolder(join(folder, '.slipway'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

describe('an installation', () => {
  test('is one, however many make it at once, and none of them leaves a part', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => createInstallation(state)));
    expect(new Set(made.map(({ id }) => id)).size).toBe(1);
    expect(await readdir(state.root)).toEqual(['installation.key']);
    expect((await stat(state.installationKey)).mode & 0o777).toBe(0o600);
    const read = await readInstallation(state);
    expect(read.key).toHaveLength(32);
    expect(read).toEqual(made[0]);
  });

  test('has an id that says nothing of its key, and is the same for ever', () => {
    expect(installationId(new Uint8Array(32))).toBe('6ecb9bac5341cd1d');
    expect(installationId(new Uint8Array(32).fill(1))).not.toBe(installationId(new Uint8Array(32)));
  });

  test('that is not there is never made by reading it', async () => {
    await expect(readInstallation(state)).rejects.toMatchObject({
      type: 'NotFound',
      hint: expect.stringContaining('slipway dev'),
    });
    expect(await readdir(folder)).toEqual([]);
  });

  test('with a damaged key is refused without telling the key', async () => {
    await createOnce(state.installationKey, () => 'abc123-not-hex');
    const refused = readInstallation(state);
    await expect(refused).rejects.toMatchObject({ type: 'InvalidRequest' });
    await expect(refused).rejects.not.toMatchObject({ message: expect.stringContaining('abc123') });
  });
});

describe('a state folder', () => {
  test('keeps its token and key when it is prepared again', async () => {
    const first = await prepareStateFolder(state);
    const token = await readFile(state.token, 'utf8');
    expect(token).toMatch(/^[\w-]{43}\n$/);
    expect(await prepareStateFolder(state)).toEqual(first);
    expect(await readFile(state.token, 'utf8')).toBe(token);
  });

  test('of another format is refused', async () => {
    await prepareStateFolder(state);
    await writeFile(state.version, '2\n');
    await expect(prepareStateFolder(state)).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining('format 2'),
    });
  });
});

describe('stack.json', () => {
  const stack: StackFile = {
    version: 1,
    pid: 4711,
    processStart: 'boot:1',
    startedAt: '2026-01-01T00:00:00.000Z',
    mode: 'background',
    temporal: { address: '127.0.0.1:7233', namespace: 'default', taskQueue: 'slipway', ui: 'http://127.0.0.1:8233' },
    api: { url: 'http://127.0.0.1:4800' },
  };

  test('is read as it was written, and is nothing where there is none', async () => {
    expect(await readStackFile(state.stack)).toBeUndefined();
    await createInstallation(state);
    await writeStackFile(state.stack, stack);
    expect(await readStackFile(state.stack)).toEqual(stack);
  });

  test.each([
    ['is not JSON', '{'],
    ['is another version', JSON.stringify({ ...stack, version: 2 })],
    ['lacks the pid', JSON.stringify({ ...stack, pid: undefined })],
  ])('that %s is refused with its path and what to do', async (_, text) => {
    await createInstallation(state);
    await writeFile(state.stack, text);
    await expect(readStackFile(state.stack)).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining(state.stack),
      hint: expect.stringContaining('--state'),
    });
  });
});
