import { inventoryAt } from '../../src/config/inventory.ts';
import { describe, expect, it } from 'vitest';
import { addressAt, addressCount, candidates } from '../../src/providers/local/addresses.ts';
import { bootFstab, otherMountPoints } from '../../src/providers/local/root-mounts.ts';
import { shellRun } from '../../src/providers/local/shell-run.ts';
import { createProviders } from '../../src/providers/registry.ts';
import { pino } from 'pino';

describe('addresses', () => {
  it('are all different, and none ends like a network or a broadcast one', () => {
    const all = new Set(Array.from({ length: addressCount }, (_, n) => addressAt(n)));
    expect(all.size).toBe(addressCount);
    expect(
      [...all].filter((address) => !/^127\.77\.([1-9]\d*)\.([1-9]\d*)$/.test(address) || address.endsWith('255')),
    ).toEqual([]);
  });

  it('go round past the end, and skip what is taken', () => {
    const last = addressCount - 1;
    const [first, second] = candidates('/x', last, false, new Set([addressAt(last)]));
    expect([first, second]).toEqual([0, 1]);
    expect([...candidates('/x', 0, false, new Set())]).toHaveLength(addressCount);
  });

  it('start elsewhere in each folder', () => {
    const firstOf = (folder: string) => candidates(folder, undefined, false, new Set()).next().value;
    expect(firstOf('/a')).not.toBe(firstOf('/b'));
  });
});

describe('mounts of tier root', () => {
  it('take every part of the root that lies on a filesystem of its own, parents first', () => {
    const line = (point: string): string => `22 27 0:21 / ${point} rw - ext4 /dev/x rw`;
    const mountinfo = ['/', '/var/lib', '/proc', '/home', '/usr', '/var', '/mnt/x'].map(line).join('\n');
    expect(otherMountPoints(mountinfo)).toEqual(['/usr', '/var', '/var/lib']);
  });

  it('survive blanks in the path of the state folder', () => {
    const fstab = bootFstab('/a b/root', '/a b/boot_id');
    expect(fstab).toContain('proc /a\\040b/root/proc proc ');
    for (const each of fstab.trim().split('\n')) expect(each.split(' ')).toHaveLength(6);
  });
});

describe('what a channel runs', () => {
  const account = { name: 'root', uid: 0, gid: 0, home: '/root', shell: '/bin/bash' };

  it('has the client’s variables under a prefix only, and no name that a shell could stumble over', () => {
    const { words, env } = shellRun({
      account,
      command: 'true',
      base: {},
      env: { LD_PRELOAD: '/x.so', PATH: '/evil', 'x;reboot': '1', '': '2' },
    });
    expect(env).toMatchObject({ SLIPWAY_SET_LD_PRELOAD: '/x.so', SLIPWAY_SET_PATH: '/evil' });
    expect(env).not.toHaveProperty('LD_PRELOAD');
    expect(env['PATH']).toMatch(/^\/usr\/local\/sbin:/);
    expect(words.slice(3)).toEqual(['sh', 'LD_PRELOAD PATH', '/bin/bash', '-c', 'true']);
  });
});

describe('the registry', () => {
  it('has the providers of the settings by their names', () => {
    const state = {
      local: '/nowhere/local',
      static: '/nowhere/static',
      qemu: '/nowhere/qemu',
      faults: '/nowhere/faults.json',
    };
    const secret = async (name: string) => name;
    const options = { state, installation: 'x', inventoryAt, secret, logger: pino({ level: 'silent' }) };
    const providers = {
      local: { type: 'local' },
      lab: { type: 'local' },
      rack: { type: 'static', inventory: '/nowhere/rack.yaml' },
    } as const;
    const three = createProviders({ ...options, settings: { providers } });
    expect([...three].map(([name, provider]) => [name, provider.name])).toEqual([
      ['local', 'local'],
      ['lab', 'lab'],
      ['rack', 'rack'],
    ]);
  });
});
