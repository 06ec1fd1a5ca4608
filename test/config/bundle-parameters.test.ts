import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveBundle } from '../../src/config/bundle-resolve.ts';
import { createBundles } from '../../src/config/bundles.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import type { ParameterValues } from '../../src/domain/parameters.ts';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { freshFolder } from '../output/store-kit.ts';

async function bundle(text: string) {
  const folder = await freshFolder();
  await writeFile(join(folder, 'web.yaml'), text);
  const bundles = createBundles({ folders: [folder], providers: ['local'] });
  const blobs = createFileBlobStore(join(folder, 'blobs'));
  const textOf = async (sha256: string) => Buffer.from(await blobs.get(sha256)).toString();
  return {
    bundles,
    textOf,
    said: async () => (await bundles.check()).mistakes.map(mistakeText),
    resolve: async (parameters?: ParameterValues) =>
      resolveBundle(
        await bundles.get('web'),
        { leaseId: 'l', bundle: 'web', ...(parameters === undefined ? {} : { parameters }) },
        blobs,
      ),
  };
}

const web = `parameters:
  - {name: greeting, type: string, default: hello, pattern: '[a-z ]+', summary: What it says}
  - {name: port, type: int, required: true, min: 1, max: 65535}
  - {name: size, type: enum, values: [small, large], default: small}
  - {name: quiet, type: bool, default: false}
variants:
  - {provider: local, size: '\${size}', note: 'a \${size} one', quiet: '\${quiet}'}
files:
  - {path: '/etc/\${size}.conf', text: "port = \${port}\\nsay = \${greeting}\\nlit = $\${port}\\n", substitute: true}
  - {path: /etc/other, text: 'kept: \${HOME}'}
commands:
  - {run: [serve, '\${port}', '$\${port}'], env: {PORT: '\${port}', GREET: 'say \${greeting}'}}
  - {shell: 'echo "$SLIPWAY_PARAM_GREETING" \${x}', env: {SLIPWAY_PARAM_PORT: mine}}
ready: {command: [test, -e, '\${greeting}']}
`;

describe('a bundle with parameters', () => {
  it('takes their values where they are typed, or one word by itself, and as variables of its commands', async () => {
    const { resolve, textOf, said } = await bundle(web);
    expect(await said()).toEqual([]);
    const { recipe } = await resolve({ port: '8080', size: 'large', greeting: 'ahoy there' });
    const env = {
      SLIPWAY_PARAM_GREETING: 'ahoy there',
      SLIPWAY_PARAM_PORT: '8080',
      SLIPWAY_PARAM_SIZE: 'large',
      SLIPWAY_PARAM_QUIET: 'false',
    };
    expect(recipe.variants).toEqual([
      { provider: 'local', spec: { size: 'large', note: 'a large one', quiet: false } },
    ]);
    expect(recipe.steps).toMatchObject([
      { file: { path: '/etc/large.conf' } },
      { file: { path: '/etc/other' } },
      {
        command: {
          command: ['serve', '8080', '${port}'],
          env: { ...env, PORT: '8080', GREET: 'say ahoy there' },
        },
      },
      {
        command: {
          command: { shell: 'echo "$SLIPWAY_PARAM_GREETING" ${x}' },
          env: { ...env, SLIPWAY_PARAM_PORT: 'mine' },
        },
      },
    ]);
    expect(recipe.gate).toEqual({ kind: 'command', command: ['test', '-e', 'ahoy there'], everyMs: 1000, env });
    const digests = recipe.steps.flatMap((step) => ('file' in step ? [step.file.sha256 ?? ''] : []));
    expect(await Promise.all(digests.map(textOf))).toEqual([
      'port = 8080\nsay = ahoy there\nlit = ${port}\n',
      'kept: ${HOME}',
    ]);
  });

  it('refuses a request with every mistake named', async () => {
    const { resolve } = await bundle(web);
    await expect(resolve({ greting: 'x', size: 'huge', quiet: 'maybe' })).rejects.toMatchObject({
      type: 'InvalidRequest',
      message:
        'Lease l: unknown parameter `greting`; did you mean greeting?; parameter `port` is missing; ' +
        'parameter `size` expected small or large, found `huge`; parameter `quiet` expected true or false, found `maybe`.',
      details: { mistakes: [{}, {}, {}, {}] },
    });
    await expect(resolve({ port: 0, greeting: 'UP; rm -rf /' })).rejects.toThrow(
      'parameter `greeting` must match [a-z ]+, found `UP; rm -rf /`; parameter `port` must be at least 1, found 0.',
    );
    const { resolve: none } = await bundle('variants: [{provider: local}]\n');
    await expect(none({ a: 1 })).rejects.toThrow('unknown parameter `a`; the bundle has none.');
  });

  it('refuses what only the value of this request breaks, with the place in the file', async () => {
    const { resolve, said } = await bundle(`parameters: [{name: folder, type: string, required: true}]
variants: [{provider: local}]
files: [{path: '\${folder}', text: x}]
`);
    expect(await said()).toEqual([]);
    await expect(resolve({ folder: 'etc' })).rejects.toThrow(
      'web.yaml:3:16 files[0].path: must be absolute on the guest, or start with ~/, found `etc`',
    );
    expect((await resolve({ folder: '/etc/x' })).plan.steps).toMatchObject([{ title: '/etc/x' }]);
  });

  it('is the same recipe for the same values, however they are written', async () => {
    const { resolve } = await bundle(web);
    const one = await resolve({ port: 80 });
    expect((await resolve({ port: '80', quiet: 'false' })).plan).toEqual(one.plan);
    expect((await resolve({ port: 81 })).plan.bundle.digest).not.toBe(one.plan.bundle.digest);
  });

  it.each<[string, readonly string[]]>([
    [
      'parameters: [{name: A, type: text}, {name: b, type: int}]',
      [
        '1:21 parameters[0].name: must be lower-case letters, digits and underscore, the first a letter, at most 40, found `A`',
        '1:30 parameters[0].type: expected string, int, bool or enum, found `text`',
        '1:14 parameters[0]: needs a `default`, or `required: true`',
        '1:37 parameters[1]: needs a `default`, or `required: true`',
      ],
    ],
    [
      "parameters: [{name: a, type: int, default: '5'}, {name: a, type: bool, default: x, required: true}]",
      [
        '1:44 parameters[0].default: write it unquoted: 5',
        '1:57 parameters[1].name: there is another parameter `a`',
        '1:81 parameters[1].default: expected true or false, found `x`',
        '1:94 parameters[1].required: has a default: it is never missing',
      ],
    ],
    [
      "parameters: [{name: a, type: int, values: [x], default: 1}, {name: b, type: string, pattern: '(', default: x}, {name: c, type: enum, default: x}, {name: d, type: int, min: 3, max: 2, default: 1}]",
      [
        '1:43 parameters[0].values: goes with type enum only',
        '1:94 parameters[1].pattern: Invalid regular expression: /(/u: Unterminated group',
        '1:112 parameters[2]: an enum needs `values`',
        '1:173 parameters[3].min: 3 is more than max, 2',
      ],
    ],
    [
      "commands: [{run: [a, '--x=${one}', '${two}'], shell: 'b ${one}'}]\nparameters: [{name: one, type: int, default: 1}]",
      [
        '1:12 commands[0]: has `run` and `shell`: only one of them can be',
        '1:22 commands[0].run[1]: `${one}` must be an item by itself; in a shell\'s text write "$SLIPWAY_PARAM_ONE"',
        '1:36 commands[0].run[2]: there is no parameter `two`; write $${two} for that text',
        '1:54 commands[0].shell: `${one}` is not put into shell text; write "$SLIPWAY_PARAM_ONE"',
      ],
    ],
    [
      "files: [{path: /a, text: 'x ${one}'}, {path: /b, text: \"#!/bin/sh\\n${one}\", substitute: true}, {path: /c, text: '${one}', substitute: false}, {path: /d, from: '${one}'}]\nparameters: [{name: one, type: int, default: 1}]",
      [
        '1:26 files[0].text: holds `${one}`: say substitute: true to have its value there, or substitute: false to keep the text',
        '1:56 files[1].text: `${one}` is not put into a script: let a command give it as an argument or variable',
        '1:160 files[3].from: ${one} is not there',
        '1:160 files[3].from: `${one}` is not put in here',
      ],
    ],
    [
      "attempts: '${word}'\noutputLimitBytes: '${many}'\nreadyWithinMs: '${many}'\nloadWithinMs: 10m\nparameters: [{name: word, type: string, required: true}, {name: many, type: int, required: true}]",
      ['1:11 attempts: expected a number, found text'],
    ],
    [
      "attempts: '${n}'\nparameters: [{name: n, type: enum, values: ['2', '3'], default: '2'}, {name: m, type: int, default: 99}]\nready: {command: [x], everyMs: '${m}'}",
      ['1:11 attempts: expected a number, found text'],
    ],
    [
      "attempts: '${n}'\nparameters: [{name: n, type: int, default: 99}]\nlease: {ttlMs: '${on}'}",
      [
        '1:11 attempts: must be at most 10',
        '3:16 lease.ttlMs: expected a duration (30s, 5m, 1h, 2d, or whole milliseconds), at least 1 ms and at most 400d, found `${on}`',
        '3:16 lease.ttlMs: there is no parameter `on`; did you mean n?',
      ],
    ],
  ])('that has mistakes is told %#', async (text, expected) => {
    const { said } = await bundle(`${text}\nvariants: [{provider: local}]\n`);
    expect([...(await said())].sort()).toEqual(expected.map((each) => `web.yaml:${each}`).sort());
  });

  it('is shown with what may be chosen', async () => {
    const { bundles } = await bundle(web);
    expect(await bundles.show('web')).toMatchObject({
      name: 'web',
      providers: ['local'],
      inForce: true,
      parameters: [{ name: 'greeting' }, { name: 'port', required: true }, { name: 'size' }, { name: 'quiet' }],
      recipe: { variants: [{ size: '${size}' }] },
    });
    await expect(bundles.show('wbe')).rejects.toThrow('No bundle `wbe`. Near: web.');
  });
});
