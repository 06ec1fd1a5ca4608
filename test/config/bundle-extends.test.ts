import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveBundle } from '../../src/config/bundle-resolve.ts';
import { createBundles } from '../../src/config/bundles.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import type { ParameterValues } from '../../src/domain/parameters.ts';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { freshFolder } from '../output/store-kit.ts';

async function place(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

async function bundlesWith(files: Readonly<Record<string, string>>, packaged: Readonly<Record<string, string>> = {}) {
  const [folder, package_] = [await freshFolder(), await freshFolder()];
  await place(folder, files);
  await place(package_, packaged);
  const bundles = createBundles({ folders: [folder, package_], providers: ['local', 'static'] });
  const blobs = createFileBlobStore(join(folder, 'blobs'));
  return {
    folder,
    bundles,
    said: async () => (await bundles.check()).mistakes.map(mistakeText),
    recipe: async (bundle: string, parameters: ParameterValues = {}) =>
      (await resolveBundle(await bundles.get(bundle), { leaseId: 'l', bundle, parameters }, blobs)).recipe,
  };
}

const base = `part: true
summary: What all have
parameters:
  - {name: size, type: enum, values: [small, large], default: small}
  - {name: note, type: string, default: none}
files:
  - {path: /etc/motd, from: base/motd, mode: '0644'}
  - {path: /etc/base, text: base}
commands:
  - {title: update, run: [update]}
  - {run: [say, '\${note}']}
ready: manual
readyWithinMs: 10m
lease: {ttlMs: 1h, maxTtlMs: 8h}
`;
const web = `extends: base
summary: A web server
parameters:
  - {name: size, type: enum, values: [small, large, huge], default: large}
  - {name: port, type: int, default: 80}
variants: [{provider: local, size: '\${size}'}]
files:
  - {path: /etc/base, text: web}
  - {path: /etc/web, text: web}
commands:
  - {run: [serve, '\${port}']}
  - {title: update, run: [update, twice]}
ready: steps
lease: {ttlMs: 2h}
`;

describe('a bundle that extends another', () => {
  it('says more or otherwise: its entries take the place of those alike, or come after the others', async () => {
    const { said, recipe, bundles } = await bundlesWith({ 'base.yaml': base, 'base/motd': 'hi', 'web.yaml': web });
    expect(await said()).toEqual([]);
    const made = await recipe('web');
    expect(made.steps.map(({ title }) => title)).toEqual([
      '/etc/motd 0644',
      '/etc/base',
      '/etc/web',
      'update',
      'say none',
      'serve 80',
    ]);
    expect(made.steps[3]).toMatchObject({ command: { command: ['update', 'twice'] } });
    expect(made).toMatchObject({
      gate: { kind: 'steps' },
      limits: { readyWithinMs: 600_000 },
      ttlMs: 7_200_000,
      maxTtlMs: 28_800_000,
      variants: [{ provider: 'local', spec: { size: 'large' } }],
    });
    expect((await recipe('web', { size: 'huge' })).variants[0]?.spec).toEqual({ size: 'huge' });
    const shown = await bundles.show('web');
    expect(shown.summary).toBe('A web server');
    expect(shown.parameters.map(({ name }) => name)).toEqual(['size', 'note', 'port']);
    expect(shown.files?.map((file) => file.replace(/.*\//, ''))).toEqual(['base.yaml', 'web.yaml']);
  });

  it('of several has each file once, the first first', async () => {
    const run = (name: string, more = ''): string => `${more}part: true\ncommands: [{run: [${name}]}]\n`;
    const { recipe } = await bundlesWith({
      'one.yaml': run('one'),
      'two.yaml': run('two', 'extends: one\n'),
      'three.yaml': run('three', 'extends: one\n'),
      'web.yaml': 'extends: [three, two]\nvariants: [{provider: local}]\ncommands: [{run: [web]}]\n',
    });
    expect((await recipe('web')).steps.map(({ title }) => title)).toEqual(['one', 'three', 'two', 'web']);
  });

  it('by its own name is the one that it shadows, said otherwise', async () => {
    const { recipe, said } = await bundlesWith(
      { 'hello.yaml': 'extends: hello\nattempts: 5\n' },
      { 'hello.yaml': 'variants: [{provider: static}]\nattempts: 1\n' },
    );
    expect(await said()).toEqual([]);
    expect(await recipe('hello')).toMatchObject({ attempts: 5, variants: [{ provider: 'static' }] });
  });

  it('is read again when one of those changes, or comes to be', async () => {
    const files = { 'web.yaml': 'extends: base\n', 'base.yaml': 'variants: [{provider: local}]\nattempts: 1\n' };
    const { recipe, folder } = await bundlesWith(
      { 'web.yaml': files['web.yaml'] },
      { 'base.yaml': files['base.yaml'] },
    );
    expect((await recipe('web')).attempts).toBe(1);
    await place(folder, { 'base.yaml': files['base.yaml'].replace('1', '2') });
    expect((await recipe('web')).attempts).toBe(2);
    await place(folder, { 'base.yaml': files['base.yaml'].replace('1', '3') });
    expect((await recipe('web')).attempts).toBe(3);
  });

  it('names mistakes where they stand, each once', async () => {
    const { said } = await bundlesWith({
      'base.yaml': 'part: true\nattempts: many\nfiles: [{path: x, text: y}]\ncommands: [{run: [a, "${size}"]}]\n',
      'web.yaml': 'extends: base\nvariants: [{provider: local}]\nfiles: [{path: /z}]\n',
      'other.yaml': 'extends: base\nvariants: [{provider: local}]\n',
    });
    expect(await said()).toEqual([
      'base.yaml:2:11 attempts: expected a number, found text',
      'base.yaml:3:16 files[0].path: must be absolute on the guest, or start with ~/, found `x`',
      'base.yaml:4:22 commands[0].run[1]: there is no parameter `size`; write $${size} for that text',
      'web.yaml:3:9 files[1]: needs one of `text`, `from`, `url`',
    ]);
  });

  it.each<[string, Readonly<Record<string, string>>, readonly string[]]>([
    [
      'itself, over others',
      { 'a.yaml': 'extends: b\n', 'b.yaml': 'extends: [c]\n', 'c.yaml': 'extends: a\nvariants: [{provider: local}]\n' },
      [
        'a.yaml:1:10 extends: leads back to itself: b → c → a → b',
        'b.yaml:1:11 extends[0]: leads back to itself: c → a → b → c',
        'c.yaml:1:10 extends: leads back to itself: a → b → c → a',
      ],
    ],
    [
      'more than five deep',
      {
        ...Object.fromEntries(
          Array.from('abcde', (name, n) => [`${name}.yaml`, `part: true\nextends: ${'bcdef'[n]}\n`]),
        ),
        'f.yaml': 'part: true\n',
        'top.yaml': 'extends: b\nvariants: [{provider: local}]\n',
      },
      [
        'e.yaml:2:10 extends: goes deeper than 5: a → b → c → d → e → f',
        'e.yaml:2:10 extends: goes deeper than 5: top → b → c → d → e → f',
      ],
    ],
    [
      'what is not there',
      { 'base.yaml': 'part: true\n', 'web.yaml': 'extends: [bse, ../x]\nvariants: [{provider: local}]\n' },
      [
        'web.yaml:1:11 extends[0]: there is no bundle `bse`; did you mean base?',
        `web.yaml:1:16 extends[1]: must be lower-case letters, digits, dot, underscore and hyphen, the first a letter or digit, at most 63, found \`../x\``,
      ],
    ],
    [
      'what is no bundle',
      { 'base.yaml': '[1, 2]\n', 'web.yaml': 'extends: base\nvariants: [{provider: local}]\n', 'x.yaml': 'a: [\n' },
      [
        'base.yaml:1:1 expected a map, found a list',
        'base.yaml:1:1 expected a map',
        'x.yaml:2:1 YAML: Flow sequence in block collection must be sufficiently indented and end with a ]',
      ],
    ],
  ])('that extends %s is told', async (_what, files, expected) => {
    expect(await (await bundlesWith(files)).said()).toEqual(expected);
  });

  it('has no variant of its own to have when nobody has one, and a part is not leased', async () => {
    const { said, bundles, recipe } = await bundlesWith({ 'base.yaml': 'part: true\n', 'web.yaml': 'extends: base\n' });
    expect(await said()).toEqual(['web.yaml:1:1 variants: is missing; expected a list']);
    expect(await bundles.list()).toMatchObject([{ name: 'base', part: true, inForce: true }, { name: 'web' }]);
    await expect(recipe('base')).rejects.toThrow('Bundle `base` is a part of others: it is not leased by itself.');
  });
});
