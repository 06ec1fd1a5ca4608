import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { freshFolder } from '../output/store-kit.ts';
import { start } from './cli-bench.ts';

/** Bundles are files: no stack is needed to look at them. */
const bench = async () => {
  const cwd = await freshFolder();
  await mkdir(join(cwd, 'bundles'));
  await mkdir(join(cwd, '.slipway'));
  return {
    write: (name: string, text: string) => writeFile(join(cwd, 'bundles', name), text),
    run: async (...args: string[]) => {
      const running = start(args, { cwd, stack: { findStack: async () => undefined } });
      const code = await running.code;
      return { code, stdout: running.stdout.text, stderr: running.stderr.text };
    },
  };
};

it('bundles are listed, shown and checked without a stack, with every mistake where they are shown', async () => {
  const { write, run } = await bench();
  await write('web.yaml', 'extends: base\nparameters: [{name: port, type: int, default: 80}]\n');
  await write('base.yaml', 'part: true\nvariants: [{provider: local}]\ncommands: [{run: [echo, hi]}]\n');
  const list = await run('bundle', 'list');
  expect(list.stdout).toMatch(
    /^BUNDLE +PROVIDERS +STATE +SUMMARY\nbase +local +part\ndebian +qemu +good.*\nhello +local +good/,
  );
  const shown = await run('bundle', 'show', 'web');
  expect(shown).toMatchObject({ code: 0, stderr: '  slipway lease create --bundle web\n' });
  expect(shown.stdout).toMatch(
    /^web@[0-9a-f]{12}\n {2}files +.*base\.yaml\n +.*web\.yaml\n {2}parameters port {2}int · default 80\n {2}variants +local\n {2}steps +echo hi\n$/,
  );
  expect(await run('bundle', 'show', 'wbe')).toMatchObject({ code: 2 });

  await write('web.yaml', 'extends: base\natempts: 3\n');
  expect((await run('bundle', 'list')).stdout).toMatch(/web +– +mistakes/);
  expect(await run('bundle', 'show', 'web')).toMatchObject({
    code: 2,
    stderr:
      'bundles/web.yaml:2:1   unknown key `atempts`; did you mean attempts?\nNo version is in force until that is mended.\n',
  });
  expect(await run('bundle', 'check')).toMatchObject({
    code: 2,
    stdout: 'bundles/web.yaml:2:1   unknown key `atempts`; did you mean attempts?\n',
    stderr: '1 mistake in 1 of 5 files. Not to be leased until mended: web.\n',
  });
  expect(JSON.parse((await run('bundle', 'show', 'web', '--json')).stdout)).toMatchObject({ inForce: false });
});
