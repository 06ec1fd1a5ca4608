import { spawnSync } from 'node:child_process';
import fc from 'fast-check';
import { parse } from 'yaml';
import { describe, expect, it } from 'vitest';
import { cloudConfigText, mergedConfig } from '../../src/domain/cloud-config.ts';
import { composedUserData, withBootString, type FirstBoot, type UserData } from '../../src/domain/user-data.ts';

const boot: FirstBoot = {
  hostname: 'web-1-1',
  authorizedKeys: ['ssh-ed25519 OURS'],
  hostKey: { privateKey: 'PRIVATE\n', publicKey: 'ssh-ed25519 HOST' },
};
const checkIn = { script: '#!/bin/sh\n', bootString: 'web-1.1~b~1:10.0.2.2:4801;sha256//x=:secret' };
const composed = (given: UserData, as: FirstBoot = boot, maxBytes = 16_384) => {
  const { text, ...rest } = composedUserData(given, as, maxBytes);
  expect(text.startsWith('#cloud-config\n')).toBe(true);
  return { ...rest, text, config: JSON.parse(text.slice('#cloud-config\n'.length)) as Record<string, never> };
};

describe('the user-data of a machine', () => {
  it('holds its identity, though its bundle says nothing', () => {
    expect(composed({}).config).toEqual({
      hostname: 'web-1-1',
      preserve_hostname: false,
      ssh_deletekeys: true,
      ssh_keys: { ed25519_private: 'PRIVATE\n', ed25519_public: 'ssh-ed25519 HOST' },
      ssh_authorized_keys: ['ssh-ed25519 OURS'],
    });
  });

  it('holds no private key where the guest makes its own', () => {
    const { hostKey: _, ...own } = boot;
    expect(composed({}, own).text).not.toContain('ssh_keys');
  });

  it.each([
    ['root', { disable_root: false }],
    ['admin', { user: { name: 'admin' } }],
  ])('lets us in as %s', (loginUser, expected) => {
    expect(composed({}, { ...boot, loginUser }).config).toMatchObject(expected);
  });

  it('has users, keys and packages of the bundle beside the image’s default user and ours', () => {
    const { config } = composed({
      users: [{ name: 'site', groups: ['adm'], shell: '/bin/bash', sudo: true, authorizedKeys: ['ssh-ed25519 SITE'] }],
      authorizedKeys: ['ssh-ed25519 OPS'],
      packages: ['nginx'],
      raw: { packages: ['curl'], users: [{ name: 'other' }], timezone: 'UTC' },
    });
    expect(config).toMatchObject({
      ssh_authorized_keys: ['ssh-ed25519 OURS', 'ssh-ed25519 OPS'],
      packages: ['nginx', 'curl'],
      timezone: 'UTC',
      users: [
        'default',
        {
          name: 'site',
          groups: ['adm'],
          shell: '/bin/bash',
          lock_passwd: true,
          sudo: 'ALL=(ALL) NOPASSWD:ALL',
          ssh_authorized_keys: ['ssh-ed25519 SITE'],
        },
        { name: 'other' },
      ],
    });
  });

  it('runs its last stage after all that the bundle’s own words run', () => {
    const { config } = composed({ scripts: [{ command: ['true'] }], raw: { runcmd: ['echo first'] } });
    expect(config['runcmd']).toEqual(['echo first', ['sh', '/var/lib/slipway/boot/last-stage']]);
  });

  it('forgets once what the machine that its image was captured from was told', () => {
    const { config } = composed({ raw: { bootcmd: ['echo theirs'] } }, { ...boot, checkIn });
    expect(config['bootcmd']).toEqual([
      ['cloud-init-per', 'instance', 'slipway-boot', 'rm', '-rf', '/var/lib/slipway/boot'],
      expect.stringContaining('/var/lib/slipway/boot/check-in boot'),
      'echo theirs',
    ]);
    expect(composed({}).config).not.toHaveProperty('bootcmd');
  });

  it('says what its next generation calls home with, and else what it said', () => {
    const next = 'web-1.1~b~22:10.0.2.2:4802;sha256//y=:other';
    const { text } = composed({ packages: ['nginx'] }, { ...boot, checkIn });
    const renewed = composed({ packages: ['nginx'] }, { ...boot, checkIn: { ...checkIn, bootString: next } }).text;
    expect(withBootString(text, next)).toBe(renewed);
    expect(withBootString(renewed, next)).toBe(renewed);
    const ofAnother = text.replace('web-1.1~b', 'web-1x1~b');
    expect(withBootString(ofAnother, next)).toBe(ofAnother);
    expect(withBootString(text, 'of:no;machine:at all')).toBe(text);
  });

  it('keeps out of its document what would not fit, and has the guest fetch that', () => {
    const given = { files: [{ path: '/a', text: 'x'.repeat(20_000) }] };
    const { text, config } = composed(given, { ...boot, checkIn });
    expect(Buffer.byteLength(text)).toBeLessThan(4_096);
    expect(config['write_files']).toContainEqual({
      path: '/var/lib/slipway/boot/last-stage',
      permissions: '0700',
      content: 'exec sh /var/lib/slipway/boot/check-in last-stage\n',
    });
    expect(composed(given, { ...boot, checkIn }, 65_536).text).toContain('x'.repeat(20_000));
  });

  it('names what its bundle says otherwise than we do', () => {
    expect(composed({ raw: { hostname: 'mine', ssh_keys: { ed25519_private: 'mine' } } }).conflicts).toEqual([
      ['hostname'],
      ['ssh_keys', 'ed25519_private'],
    ]);
  });

  const json = fc.dictionary(fc.string(), fc.oneof(fc.string({ unit: 'binary' }), fc.array(fc.string()), fc.integer()));

  it('is read by YAML as it was meant, whatever is in it', () => {
    fc.assert(
      fc.property(json, (config) => {
        expect(parse(cloudConfigText(config), { version: '1.1' })).toEqual(JSON.parse(JSON.stringify(config)));
      }),
    );
  });

  it('keeps in a merge all that either part says', () => {
    fc.assert(
      fc.property(json, json, (ours, theirs) => {
        const { config, conflicts } = mergedConfig(ours, theirs);
        expect(new Set(Object.keys(config))).toEqual(new Set([...Object.keys(ours), ...Object.keys(theirs)]));
        for (const [key, value] of Object.entries(theirs))
          if (!Object.hasOwn(ours, key)) expect(config[key]).toEqual(value);
        for (const [key] of conflicts) expect(ours[key as string]).not.toEqual(theirs[key as string]);
      }),
    );
  });

  it('is read the same by cloud-init’s own YAML', (context) => {
    const python = spawnSync('python3', ['-c', 'import yaml'], { encoding: 'utf8' });
    if (python.status !== 0) context.skip('python3 with yaml is not here');
    const given = { a: 'no\u007f\u0085\u2028é😀', b: ['0644', 'yes', '1:30', "it's\n\ttabbed"], c: 'x'.repeat(300) };
    const read = spawnSync('python3', ['-c', 'import json, sys, yaml; print(json.dumps(yaml.safe_load(sys.stdin)))'], {
      input: cloudConfigText(given),
      encoding: 'utf8',
    });
    expect(read.stderr).toBe('');
    expect(JSON.parse(read.stdout)).toEqual(given);
  });
});
