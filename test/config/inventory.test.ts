import { rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { inventoryAt } from '../../src/config/inventory.ts';
import { checkSettings, readSettings } from '../../src/config/settings.ts';
import { stateFolder } from '../../src/config/state-folder.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import { fits } from '../../src/domain/inventory.ts';
import { freshFolder } from '../output/store-kit.ts';

const ed25519 = `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'J8'.repeat(21)}J`;
const rsa = `ssh-rsa AAAAB3NzaC1yc2E${'AQAB'.repeat(64)}=`;
const good = `user: lab
identityFile: keys/slipway
resetCommands:
  - [rm, -rf, /scratch/results]
machines:
  rack1:
    address: 10.0.7.11
    hostKey: ${ed25519} root@rack1
    labels: {gpu: a100, os: debian}
  rack.2:
    address: rack2.lab
    port: 2222
    user: root
    identityFile: ~/.ssh/rack2
    hostKey: ${rsa}
`;

async function withInventory(text?: string) {
  const folder = await freshFolder();
  const file = join(folder, 'lab.yaml');
  const write = (content: string) => writeFile(file, content);
  if (text !== undefined) await write(text);
  return { folder, file, write, inventory: inventoryAt(file) };
}

describe('an inventory', () => {
  it('is read with its defaults, and paths from its own folder', async () => {
    const { folder, file, inventory } = await withInventory(good);
    expect(inventory.mistakes()).toEqual([]);
    expect(inventory.current()).toEqual({
      file,
      resetCommands: [['rm', '-rf', '/scratch/results']],
      machines: [
        {
          name: 'rack1',
          address: '10.0.7.11',
          port: 22,
          user: 'lab',
          hostKey: ed25519,
          identityFile: join(folder, 'keys/slipway'),
          labels: { gpu: 'a100', os: 'debian' },
        },
        {
          name: 'rack.2',
          address: 'rack2.lab',
          port: 2222,
          user: 'root',
          hostKey: rsa,
          identityFile: join(homedir(), '.ssh/rack2'),
          labels: {},
        },
      ],
    });
  });

  it('tells all its mistakes at once, each at its place', async () => {
    const { inventory } = await withInventory(`machines:
  rack1:
    address: 10.0.7.11
    port: 70000
    user: lab
  rack2:
    adress: 10.0.7.12
    hostKey: AAAAC3NzaC1lZDI1NTE5AAAAIJ8
    labels: {slots: 4}
  rack3: {address: rack.example.com, port: 22, hostKey: ${ed25519}}
  rack4: {address: Rack.example.com, hostKey: ssh-ed25519 AAAA}
`);
    expect(inventory.mistakes()).toEqual([
      'lab.yaml:3:5 machines.rack1.hostKey: is missing; expected text',
      'lab.yaml:3:5 machines.rack1.identityFile: is missing: say it here, or above for all machines',
      'lab.yaml:4:11 machines.rack1.port: must be at most 65535',
      'lab.yaml:7:5 machines.rack2.address: is missing; expected text',
      'lab.yaml:7:5 machines.rack2: unknown key `adress`; did you mean address?',
      expect.stringContaining('lab.yaml:7:5 machines.rack2.user: is missing'),
      expect.stringContaining('lab.yaml:7:5 machines.rack2.identityFile: is missing'),
      expect.stringContaining('machines.rack2.hostKey: must be a public key, such as'),
      expect.stringContaining('machines.rack2.labels.slots: '),
      expect.stringContaining('machines.rack3.user: is missing'),
      expect.stringContaining('machines.rack3.identityFile: is missing'),
      expect.stringContaining('machines.rack4.user: is missing'),
      expect.stringContaining('machines.rack4.identityFile: is missing'),
      expect.stringContaining('machines.rack4.address: is machine rack3'),
      expect.stringContaining('machines.rack4.hostKey: must be a public key, such as'),
    ]);
    expect(() => inventory.current()).toThrow(/^lab\.yaml has 15 mistakes: /);
  });

  it('stays in force as it last was good, is read again when it changes, and may be missing at first', async () => {
    const { file, write, inventory } = await withInventory();
    expect(() => inventory.current()).toThrow(/^lab\.yaml has a mistake: lab\.yaml:1:1 there is no such file$/);
    await write(good);
    expect(inventory.current().machines).toHaveLength(2);
    await write(good.replace('22', 'twenty'));
    expect(inventory.current().machines).toHaveLength(2);
    expect(inventory.mistakes()).toHaveLength(1);
    await write(good.replace(/ {2}rack\.2[^]*/, ''));
    expect(inventory.current().machines.map(({ name }) => name)).toEqual(['rack1']);
    await rm(file);
    expect(inventory.current().machines).toHaveLength(1);
  });

  it('has machines that fit by all their labels', async () => {
    const { inventory } = await withInventory(good);
    const fitting = (labels: Record<string, string>): readonly string[] =>
      inventory
        .current()
        .machines.filter((machine) => fits(machine, labels))
        .map(({ name }) => name);
    expect(fitting({})).toEqual(['rack1', 'rack.2']);
    expect(fitting({ gpu: 'a100' })).toEqual(['rack1']);
    expect(fitting({ gpu: 'a100', os: 'alpine' })).toEqual([]);
  });
});

describe('a static provider in slipway.yaml', () => {
  const withSettings = async (text: string) => {
    const folder = await freshFolder();
    const state = stateFolder(join(folder, '.slipway'));
    await writeFile(state.config, text);
    return { state, folder };
  };

  it('names its inventory from the folder of the file', async () => {
    const { state, folder } = await withSettings(
      'providers:\n  lab: {type: static, inventory: lab.yaml, account: rack}\n',
    );
    expect((await readSettings(state)).providers['lab']).toEqual({
      type: 'static',
      inventory: join(folder, 'lab.yaml'),
      account: 'rack',
    });
  });

  it('is refused without one, as is an unknown type', async () => {
    const { state } = await withSettings('providers:\n  lab: {type: static}\n  other: {type: cloud}\n');
    const mistakes = (await checkSettings(state)).map(mistakeText);
    expect(mistakes).toEqual([
      expect.stringMatching(/^slipway\.yaml:2:\d+ providers\.lab\.inventory: is missing/),
      expect.stringMatching(/^slipway\.yaml:3:\d+ providers\.other\.type: .*local.*static/),
    ]);
  });
});
