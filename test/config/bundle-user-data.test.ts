import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { resolveBundle } from '../../src/config/bundle-resolve.ts';
import { createBundles } from '../../src/config/bundles.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { freshFolder } from '../output/store-kit.ts';

async function bundle(userData: string, head = '') {
  const folder = await freshFolder();
  await writeFile(join(folder, 'web.yaml'), `${head}variants: [{provider: local}]\n${userData}`);
  const bundles = createBundles({ folders: [folder], providers: ['local'] });
  return {
    folder,
    said: async () => (await bundles.check()).mistakes.map(mistakeText),
    recipe: async (parameters = {}) => {
      const blobs = createFileBlobStore(join(folder, 'blobs'));
      const request = { leaseId: 'l', bundle: 'web', parameters };
      return (await resolveBundle(await bundles.get('web'), request, blobs)).recipe;
    },
  };
}

describe('the user-data of a bundle', () => {
  it('goes into the recipe, with parameters where they may stand', async () => {
    const { said, recipe } = await bundle(
      `userData:
  users: [{name: '\${who}', sudo: true}]
  packages: [nginx, 'php-\${who}']
  files:
    - {path: '/etc/\${who}.conf', text: "who = \${who}\\n", substitute: true}
  scripts:
    - {title: 'for \${who}', shell: 'greet "$SLIPWAY_PARAM_WHO"', env: {WHO: 'the \${who}'}}
    - {run: [greet, '\${who}'], allowFailure: true}
  raw:
    timezone: UTC
    runcmd: ['echo \${HOME}']
`,
      'parameters: [{name: who, type: string, default: site}]\n',
    );
    expect(await said()).toEqual([]);
    const env = { SLIPWAY_PARAM_WHO: 'ops' };
    expect((await recipe({ who: 'ops' })).userData).toEqual({
      users: [{ name: 'ops', sudo: true }],
      packages: ['nginx', 'php-ops'],
      files: [{ path: '/etc/ops.conf', text: 'who = ops\n' }],
      scripts: [
        { title: 'for ops', command: { shell: 'greet "$SLIPWAY_PARAM_WHO"' }, env: { ...env, WHO: 'the ops' } },
        { command: ['greet', 'ops'], allowFailure: true, env },
      ],
      raw: { timezone: 'UTC', runcmd: ['echo ${HOME}'] },
    });
  });

  it.each([
    ['raw: {hostname: mine}', '3:19 userData.raw.hostname: is slipway’s to say: take it out'],
    [
      'raw: {ssh_keys: {ed25519_private: mine}}',
      '3:37 userData.raw.ssh_keys.ed25519_private: is slipway’s to say: take it out',
    ],
    ['raw: {ssh_deletekeys: false}', '3:25 userData.raw.ssh_deletekeys: is slipway’s to say: take it out'],
    ['raw: {runcmds: [ls]}', '3:18 userData.raw.runcmds: is no key of cloud-init; did you mean runcmd?'],
    ['raw: {packages: nginx}', '3:19 userData.raw.packages: cloud-init wants a list here'],
    [
      'raw: {write_files: [{path: /a, permissions: 0644}]}',
      "3:47 userData.raw.write_files[0].permissions: must be quoted: octal text such as '0644'",
    ],
    ['raw: {write_files: [{content: a}]}', '3:23 userData.raw.write_files[0]: needs an absolute `path`'],
    [
      'raw: {runcmd: [[sleep, 5]]}',
      '3:18 userData.raw.runcmd[0]: must be a text for sh, or a list of words, each text',
    ],
    ['raw: [runcmd]', '3:8 userData.raw: expected a map, found a list'],
    ['package: [nginx]', '3:3 userData: unknown key `package`; did you mean packages?'],
    ['packages: [5]', "3:14 userData.packages[0]: expected text, found the number 5; write it quoted: '5'"],
    ['scripts: [{title: a}]', '3:13 userData.scripts[0]: needs one of `run` and `shell`'],
    ['authorizedKeys: [nonsense]', '3:20 userData.authorizedKeys[0]: must be an OpenSSH public key, found `nonsense`'],
    ['files: [{path: a, text: b}]', '3:18 userData.files[0].path: must be the absolute path of a file, found `a`'],
  ])('says of %j what is wrong, and where', async (line, mistake) => {
    expect(await (await bundle(`userData:\n  ${line}\n`)).said()).toEqual([`web.yaml:${mistake}`]);
  });

  it.each([
    ['raw: {timezone: "${zone}"}', 'userData.raw.timezone: `${zone}` is not put in here'],
    [
      'scripts: [{shell: "date ${zone}"}]',
      'userData.scripts[0].shell: `${zone}` is not put into shell text; write "$SLIPWAY_PARAM_ZONE"',
    ],
    [
      'scripts: [{run: [date, "+${zone}"]}]',
      'userData.scripts[0].run[1]: `${zone}` must be an item by itself; in a shell\'s text write "$SLIPWAY_PARAM_ZONE"',
    ],
    [
      'files: [{path: /a, text: "${zone}"}]',
      'userData.files[0].text: holds `${zone}`: say substitute: true to have its value there, or substitute: false to keep the text',
    ],
    ['packages: ["tz-${zoen}"]', 'userData.packages[0]: there is no parameter `zoen`; did you mean zone?'],
  ])('puts a parameter into %j nowhere', async (line, mistake) => {
    const { said } = await bundle(`userData:\n  ${line}\n`, 'parameters: [{name: zone, type: string, default: UTC}]\n');
    const [only, ...more] = await said();
    expect(more).toEqual([]);
    expect(only?.replace(/^\S+ /, '')).toBe(mistake);
  });

  it.each([
    ['checkin', { kind: 'checkin' }],
    ['{any: [checkin, manual]}', { kind: 'any', commands: [], manual: true, checkIn: true }],
    ['{all: [checkin, steps]}', { kind: 'checkin' }],
  ])('lets its machine call home where its gate is %s', async (ready, gate) => {
    const { recipe } = await bundle(`ready: ${ready}\ncommands: [{run: ['true']}]\n`);
    const made = await recipe();
    expect(made.gate).toEqual(gate);
    expect(made.steps.map(({ title }) => title)).toEqual(['check-in', 'true']);
  });

  it('takes over what it does not say itself from the bundle that it extends', async () => {
    const { folder, recipe } = await bundle('extends: base\nuserData: {packages: [b]}\n');
    await writeFile(join(folder, 'base.yaml'), 'part: true\nuserData: {packages: [a], scripts: [{run: [setup]}]}\n');
    expect((await recipe()).userData).toEqual({ packages: ['b'], scripts: [{ command: ['setup'] }] });
  });
});
