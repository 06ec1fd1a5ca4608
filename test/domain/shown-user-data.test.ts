import { describe, expect, it } from 'vitest';
import { withoutSecrets, withSecrets } from '../../src/domain/shown-user-data.ts';

const current = {
  hostname: 'web-1',
  ssh_keys: { ed25519_private: 'PRIVATE', ed25519_public: 'ssh-ed25519 AAAA' },
  chpasswd: { list: ['root:R'] },
  ssh_pwauth: false,
  users: ['default', { name: 'site', lock_passwd: true, hashed_passwd: '$6$x' }],
  write_files: [
    { path: '/var/lib/slipway/boot/boot-string', content: 'id:at;pin:SECRET\n' },
    { path: '/etc/motd', content: 'hello' },
  ],
};
const shown = {
  hostname: 'web-1',
  ssh_keys: { ed25519_private: '(secret)', ed25519_public: 'ssh-ed25519 AAAA' },
  chpasswd: '(secret)',
  ssh_pwauth: false,
  users: ['default', { name: 'site', lock_passwd: true, hashed_passwd: '(secret)' }],
  write_files: [
    { path: '/var/lib/slipway/boot/boot-string', content: '(secret)' },
    { path: '/etc/motd', content: 'hello' },
  ],
};

describe('the user-data that people see', () => {
  it('has everything in it but the secrets', () => {
    expect(withoutSecrets(current)).toEqual(shown);
  });

  it('has its secrets again when it is put back, changed', () => {
    const edited = { ...shown, packages: ['nginx'], chpasswd: { list: ['root:S'] } };
    expect(withSecrets(edited, current)).toEqual({
      config: { ...current, packages: ['nginx'], chpasswd: { list: ['root:S'] } },
      mistakes: [],
    });
  });

  it('hides what cloud-init knows as secret under other names, and all that a last stage holds', () => {
    const secrets = {
      write_files: [{ path: '/var/lib/slipway/boot/last-stage', content: 'env LICENCE=S sh' }],
      wireguard: { interfaces: [{ name: 'wg0', config_path: '/etc/wireguard/wg0.conf', content: 'PrivateKey = S' }] },
      chef: { validation_key: 'S', validation_cert: 'S', server_url: 'https://chef' },
      landscape: { client: { registration_key: 'S', account_name: 'us' } },
      rh_subscription: { 'activation-key': 'S', org: 7 },
      random_seed: { file: '/dev/urandom', data: 'S' },
      ssh_authorized_keys: ['ssh-ed25519 PUBLIC'],
    };
    const seen = withoutSecrets(secrets);
    expect(JSON.stringify(seen)).not.toMatch(/S"|LICENCE|PrivateKey/);
    expect(JSON.stringify(seen)).toMatch(/wg0.*https:\/\/chef.*"us".*"org":7.*PUBLIC/);
    expect(withSecrets(seen, secrets)).toEqual({ config: secrets, mistakes: [] });
  });

  const users = ['a', 'b', 'c'].map((name) => ({ name, hashed_passwd: `$6$${name}` }));
  const hidden = (name: string) => ({ name, hashed_passwd: '(secret)' });

  it('gives each secret to whom it was, wherever that stands', () => {
    const edited = { users: ['default', { name: 'new' }, hidden('c'), { ...hidden('a'), shell: '/bin/sh' }] };
    expect(withSecrets(edited, { users })).toEqual({
      config: { users: ['default', { name: 'new' }, users[2], { ...users[0], shell: '/bin/sh' }] },
      mistakes: [],
    });
  });

  it.each<[string, object, object]>([
    ['another user', { users: [hidden('d')] }, { users }],
    ['a user twice', { users: [hidden('a'), hidden('a')] }, { users }],
    ['another login', { user: hidden('b') }, { user: users[0] }],
    ['another file', { write_files: [{ path: '/etc/other', content: '(secret)' }] }, current],
    [
      'an entry of no name that was changed',
      { of: [{ url: 'x', token: '(secret)' }] },
      { of: [{ url: 'y', token: 'T' }] },
    ],
    ['one of two that look alike', { of: [{ token: '(secret)' }] }, { of: [{ token: 'T' }, { token: 'U' }] }],
  ])('gives no secret to %s', (_what, edited, before) => {
    const { config, mistakes } = withSecrets({ ...edited }, { ...before });
    expect(mistakes.filter((mistake) => mistake.includes('there was none at that place'))).not.toEqual([]);
    expect(JSON.stringify(config)).not.toMatch(/"T"|"U"|SECRET/);
  });

  it('is refused with a secret where there was none, and with another identity', () => {
    const edited = { ...shown, hostname: 'mine', ssh_keys: {}, password: '(secret)' };
    expect(withSecrets(edited, current).mistakes).toEqual([
      'password is (secret), and there was none at that place',
      'hostname is slipway’s to say',
      'ssh_keys is slipway’s to say',
    ]);
  });
});
