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

  it('is refused with a secret where there was none, and with another identity', () => {
    const edited = { ...shown, hostname: 'mine', ssh_keys: {}, password: '(secret)' };
    expect(withSecrets(edited, current).mistakes).toEqual([
      'password is (secret), and there was none at that place',
      'hostname is slipway’s to say',
      'ssh_keys is slipway’s to say',
    ]);
  });
});
