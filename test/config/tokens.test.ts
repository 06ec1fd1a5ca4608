import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { stateFolder } from '../../src/config/state-folder.ts';
import { ownersByToken } from '../../src/config/tokens.ts';
import { freshFolder } from '../output/store-kit.ts';

const own = 'the-stacks-own-token-0123456789';

async function withTokens(settings: string, files: Readonly<Record<string, string>> = {}) {
  const folder = await freshFolder();
  const state = stateFolder(join(folder, '.slipway'));
  await mkdir(state.root, { mode: 0o700 });
  const write = (name: string, text: string, mode = 0o600) =>
    writeFile(join(folder, name), text).then(() => chmod(join(folder, name), mode));
  await write('.slipway/token', `${own}\n`);
  for (const [name, text] of Object.entries(files)) await write(name, text);
  await writeFile(state.config, settings);
  const said: string[] = [];
  const ownerOf = ownersByToken(state, (problem) => void said.push(problem));
  return { ownerOf, said, write, settings: (text: string) => writeFile(state.config, text) };
}

it('a token belongs to its owner, the stack’s own to the user that runs it', async () => {
  const { ownerOf, said } = await withTokens('tokens: {ci: {file: ci.token}, ana: {file: ana.token}}', {
    'ci.token': 'token-of-the-ci-0001\n',
    'ana.token': 'token-of-ana-0000001',
  });
  expect(await ownerOf('token-of-the-ci-0001')).toBe('ci');
  expect(await ownerOf('token-of-ana-0000001')).toBe('ana');
  expect(await ownerOf(own)).toBe(userInfo().username);
  for (const wrong of ['', 'token-of-the-ci-000', 'token-of-the-ci-0001\n', `${own} `])
    expect(await ownerOf(wrong)).toBe(undefined);
  expect(said).toEqual([]);
});

it('tokens are followed when they, or slipway.yaml, change', async () => {
  const { ownerOf, write, settings } = await withTokens('{}', { a: 'token-number-one-1' });
  expect(await ownerOf('token-number-one-1')).toBe(undefined);
  await settings('tokens: {ana: {file: a}}');
  expect(await ownerOf('token-number-one-1')).toBe('ana');
  await write('a', 'token-number-two-2');
  expect(await ownerOf('token-number-one-1')).toBe(undefined);
  expect(await ownerOf('token-number-two-2')).toBe('ana');
  await settings('tokens: {}');
  expect(await ownerOf('token-number-two-2')).toBe(undefined);
});

it('a token that others may read, that is weak, missing or another’s too, is not in force, and it is said why, once', async () => {
  const { ownerOf, said, write } = await withTokens(
    'tokens: {open: {file: open}, none: {file: none}, weak: {file: weak}, two: {file: two}, one: {file: one}, other: {file: other}}',
    { weak: 'hunter2', two: 'token number two words', one: 'the-same-token-0001', other: 'the-same-token-0001' },
  );
  await write('open', 'token-for-everybody', 0o640);
  for (const token of ['token-for-everybody', 'hunter2', 'the-same-token-0001'])
    expect(await ownerOf(token)).toBe(undefined);
  expect(await ownerOf(own)).toBe(userInfo().username);
  expect(said.map((text) => text.replace(/: \/\S+/, ':'))).toEqual([
    'The token of open is not in force: may be read by others (mode 640); chmod 600.',
    'The token of none is not in force: is not there.',
    'The token of weak is not in force: holds fewer than 16 characters.',
    'The token of two is not in force: holds more than one word.',
    'The token of one is not in force: other has the same one.',
    'The token of other is not in force: one has the same one.',
  ]);
  expect(said.join()).not.toMatch(/hunter2|everybody|same-token/);
  await write('open', 'token-for-everybody', 0o600);
  expect(await ownerOf('token-for-everybody')).toBe('open');
});
