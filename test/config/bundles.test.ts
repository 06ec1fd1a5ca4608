import { mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { packageBundlesFolder } from '../../src/config/bundle-folders.ts';
import { createBundles } from '../../src/config/bundles.ts';
import type { Bundles } from '../../src/config/bundles.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import { freshFolder } from '../output/store-kit.ts';

async function place(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

async function bundlesWith(files: Readonly<Record<string, string>>): Promise<{ bundles: Bundles; folder: string }> {
  const folder = await freshFolder();
  await place(folder, files);
  return { folder, bundles: createBundles({ folders: [folder], providers: ['local', 'static'] }) };
}

async function saidOf(text: string): Promise<readonly string[]> {
  const { bundles } = await bundlesWith({ 'web.yaml': text });
  return (await bundles.check()).mistakes.map(mistakeText);
}

const good = 'variants: [{provider: local}]\n';

describe('a bundle with mistakes', () => {
  it('names all of them at once, each with its place and what to write', async () => {
    const text = `name: webb
variants:
  - provider: local
  - provider: qemu
files:
  - path: /etc/x
    text: hi
    from: y.txt
    mode: 0755
  - path: etc/y
    url: https://example.org/y
ready:
  command: curl -f localhost
commands:
  - run: [echo, 1]
  - shel: echo
readyWithn: 3
accessWithinMs: soon
attempts: 0
reclaim: recycle
resetCommands:
  - shell: true; rm -rf /x
resetLeaves: [data]
`;
    expect(await saidOf(text)).toEqual([
      "web.yaml:1:7 name: is `webb`, but the file's name makes it `web`",
      'web.yaml:4:15 variants[1].provider: qemu is not a configured provider (local, static): slipway.yaml names them',
      'web.yaml:6:5 files[0]: has `text` and `from`: only one of them can be',
      'web.yaml:8:11 files[0].from: y.txt is not there',
      "web.yaml:9:11 files[0].mode: expected text, found the number 0755; write it quoted: '0755'",
      'web.yaml:10:11 files[1].path: must be absolute on the guest, or start with ~/, found `etc/y`',
      'web.yaml:11:10 files[1].url: needs `sha256` beside it: what it serves may change',
      'web.yaml:13:12 ready.command: expected a list of words, found text; write [curl, -f, localhost]',
      "web.yaml:15:17 commands[0].run[1]: expected text, found the number 1; write it quoted: '1'",
      'web.yaml:16:5 commands[1]: unknown key `shel`; did you mean shell?',
      'web.yaml:16:5 commands[1]: needs one of `run` and `shell`',
      'web.yaml:17:1 unknown key `readyWithn`; did you mean readyWithinMs?',
      'web.yaml:18:17 accessWithinMs: expected a duration (30s, 5m, 1h, 2d, or whole milliseconds), at least 1 ms and at most 400d, found `soon`',
      'web.yaml:19:11 attempts: must be at least 1',
      'web.yaml:20:10 reclaim: expected destroy, reload or reset, found `recycle`',
      'web.yaml:22:3 resetCommands: goes with `reclaim: reset` only',
      'web.yaml:23:14 resetLeaves: goes with `reclaim: reset` only',
      'web.yaml:23:15 resetLeaves[0]: must be absolute on the guest, such as /var/lib/postgresql, found `data`',
    ]);
  });

  it.each([
    ['', ['web.yaml:1:1 expected a map, found nothing']],
    ['just text', ['web.yaml:1:1 expected a map, found text']],
    ['summary: x', ['web.yaml:1:1 variants: is missing; expected a list']],
    ['variants: []', ['web.yaml:1:11 variants: needs at least one variant']],
    [`${good}ready: step`, ['web.yaml:2:8 ready: expected steps, manual, checkin or a map, found `step`']],
    [
      `${good}ready: {comand: [x]}`,
      [
        'web.yaml:2:8 ready.command: is missing; expected a list of words',
        'web.yaml:2:9 ready: unknown key `comand`; did you mean command?',
      ],
    ],
    [
      `${good}commands: [{run: [x], env: {a-b: x}}]`,
      ['web.yaml:2:29 commands[0].env: key `a-b` must be a name such as MY_VAR'],
    ],
    [
      `${good}lease: {ttlMs: 2d, maxTtlMs: 1d}`,
      ['web.yaml:2:16 lease.ttlMs: 172800000 ms is more than maxTtlMs, 86400000 ms'],
    ],
    [
      `${good}loadWithinMs: 10m`,
      ['web.yaml:2:15 loadWithinMs: 600000 ms lies beyond readyWithinMs, 300000 ms (the default)'],
    ],
    [
      `${good}files: [{path: /x, text: '', mode: 0o644}]`,
      ["web.yaml:2:36 files[0].mode: expected text, found the number 0o644; write it quoted: '0644'"],
    ],
    [
      `${good}variants: []`,
      ['web.yaml:2:1 YAML: Map keys must be unique', 'web.yaml:2:11 variants: needs at least one variant'],
    ],
    [
      `${good}files: [`,
      ['web.yaml:2:9 YAML: Flow sequence in block collection must be sufficiently indented and end with a ]'],
    ],
    [
      [
        'a: &a [x,x,x,x,x,x,x,x]',
        ...Array.from(
          'bcdefgh',
          (each, n) =>
            `${each}: &${each} [${Array(8)
              .fill(`*${'abcdefg'.charAt(n)}`)
              .join(',')}]`,
        ),
      ].join('\n'),
      ['web.yaml:1:1 YAML: Excessive alias count indicates a resource exhaustion attack'],
    ],
  ])('says of %j where and what', async (text, said) => {
    expect(await saidOf(text)).toEqual(said);
  });

  it('keeps its last good version in force, and is itself again once mended', async () => {
    const { bundles, folder } = await bundlesWith({ 'web.yaml': `${good}attempts: 3\n` });
    expect((await bundles.get('web')).spec?.attempts).toBe(3);
    await place(folder, { 'web.yaml': `${good}attempts: many\n` });
    expect((await bundles.get('web')).spec?.attempts).toBe(3);
    expect(await bundles.list()).toMatchObject([{ name: 'web', inForce: true, mistakes: [{ line: 2, col: 11 }] }]);
    expect(await bundles.check()).toMatchObject({ files: 1, filesWithMistakes: 1 });
    await place(folder, { 'web.yaml': `${good}attempts: 4\n` });
    expect((await bundles.get('web')).spec?.attempts).toBe(4);
  });

  it('is refused with all its mistakes when it was never good, also where a shadowed one is', async () => {
    const [mine, packaged] = [await freshFolder(), await freshFolder()];
    await place(mine, { 'web.yaml': 'variants: 3\nx: 1\n' });
    await place(packaged, { 'web.yaml': good });
    const bundles = createBundles({ folders: [mine, packaged], providers: ['local'] });
    await expect(bundles.get('web')).rejects.toMatchObject({
      type: 'InvalidRequest',
      message:
        'Bundle `web` has 2 mistakes: web.yaml:1:11 variants: expected a list, found the number 3; web.yaml:2:1 unknown key `x`',
      details: { mistakes: [{ line: 1 }, { line: 2 }] },
    });
  });
});

describe('the bundles of a process', () => {
  it('are the operator’s before the package’s own, and a missing folder is an empty one', async () => {
    const [mine, packaged] = [await freshFolder(), await freshFolder()];
    await place(mine, { 'web.yaml': `${good}summary: mine\n`, 'notes.txt': 'x', '.hidden.yaml': 'x' });
    await place(packaged, { 'web.yaml': `${good}summary: packaged\n`, 'plain.yaml': good, 'web/x.yaml': 'x' });
    const bundles = createBundles({ folders: [join(mine, 'nowhere'), mine, packaged], providers: ['local'] });
    expect((await bundles.list()).map(({ name, summary }) => [name, summary])).toEqual([
      ['plain', undefined],
      ['web', 'mine'],
    ]);
    expect((await bundles.get('web')).spec?.summary).toBe('mine');
    await rm(join(mine, 'web.yaml'));
    expect((await bundles.get('web')).spec?.summary).toBe('packaged');
  });

  it('are counted once where the operator’s folder is the package’s, as in a clone of this repository', async () => {
    const { folder } = await bundlesWith({ 'web.yaml': good, 'wrong.yml': '' });
    const bundles = createBundles({ folders: [folder, `${folder}/`], providers: ['local'] });
    expect(await bundles.check()).toMatchObject({ files: 2, mistakes: [{ line: 1 }] });
  });

  it('names the near ones when one is not known', async () => {
    const { bundles } = await bundlesWith({ 'web.yaml': good, 'web-large.yaml': good, 'db.yaml': good });
    await expect(bundles.get('webb')).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: 'No bundle `webb`. Near: web, web-large.',
    });
    await expect(bundles.get('quite-other')).rejects.toThrow('No bundle `quite-other`. Known: db, web, web-large.');
    await expect(bundles.get('../web')).rejects.toMatchObject({ type: 'InvalidRequest' });
    await expect(bundles.get('constructor')).rejects.toMatchObject({ type: 'InvalidRequest' });
  });

  it('complain of files that look like a bundle and are not read', async () => {
    const { bundles } = await bundlesWith({ 'web.yml': good, 'Web.yaml': good, 'ok.yaml': good });
    const { mistakes, files } = await bundles.check();
    expect(files).toBe(3);
    expect(mistakes.map((mistake) => mistake.message)).toEqual([
      expect.stringContaining("is no bundle's name: lower-case"),
      'is not read; rename it to web.yaml',
    ]);
  });

  it('read a file beside a bundle only below its folder, and again when it changed', async () => {
    const outside = await freshFolder();
    await place(outside, { secret: 'x' });
    const from = (source: string) => `${good}files: [{path: /x, from: ${source}}]\n`;
    const { bundles, folder } = await bundlesWith({
      'up.yaml': from('../x'),
      'absolute.yaml': from(join(outside, 'secret')),
      'link.yaml': from('link'),
      'folder.yaml': from('sub'),
      'good.yaml': from('sub/ok.txt'),
      'sub/ok.txt': 'one',
    });
    await symlink(join(outside, 'secret'), join(folder, 'link'));
    expect((await bundles.check()).mistakes.map(mistakeText)).toEqual([
      'absolute.yaml:2:26 files[0].from: must be relative to the bundle',
      'folder.yaml:2:26 files[0].from: sub is no file',
      "link.yaml:2:26 files[0].from: link leads outside the bundle's folder",
      "up.yaml:2:26 files[0].from: ../x lies outside the bundle's folder",
    ]);
    const before = await bundles.get('good');
    expect(await bundles.get('good')).toBe(before);
    await place(folder, { 'sub/ok.txt': 'two' });
    expect((await bundles.get('good')).sources[0]?.sha256).not.toBe(before.sources[0]?.sha256);
    await rm(join(folder, 'sub/ok.txt'));
    expect((await bundles.get('good')).sources[0]?.bytes).toBe(3);
    expect((await bundles.check()).mistakes.map(mistakeText)).toContain(
      'good.yaml:2:26 files[0].from: sub/ok.txt is not there',
    );
  });

  it('that come with the package have no mistakes', async () => {
    const bundles = createBundles({ folders: [packageBundlesFolder()], providers: ['local', 'qemu'] });
    expect((await bundles.check()).mistakes).toEqual([]);
    expect(await bundles.list()).toMatchObject([
      { name: 'debian', providers: ['qemu'], inForce: true },
      { name: 'hello', providers: ['local'], inForce: true },
      { name: 'site', providers: ['local'], inForce: true },
    ]);
  });
});
