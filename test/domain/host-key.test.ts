import { describe, expect, test } from 'vitest';
import { chosenHostKey, hostKeysOn } from '../../src/domain/host-key.ts';

const ed25519 = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHkL';
const ecdsa = 'ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTY=';
const rsa = 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB';

describe('of several host keys', () => {
  test('ed25519 comes first, then ecdsa, then rsa, without their comments', () => {
    expect(chosenHostKey([`${rsa} root@web`, `${ecdsa} root@web`, `${ed25519} root@web`])).toBe(ed25519);
    expect(chosenHostKey([rsa, ecdsa])).toBe(ecdsa);
    expect(chosenHostKey([rsa])).toBe(rsa);
  });

  test('none is chosen of what is no key that we can pin', () => {
    expect(chosenHostKey([])).toBeUndefined();
    expect(chosenHostKey(['ssh-dss AAAAB3NzaC1kc3M', 'ssh-ed25519', 'hello'])).toBeUndefined();
    expect(chosenHostKey(['ssh-ed25519-cert-v01 AAAAIHNzaC1lZDI1NTE5'])).toBeUndefined();
  });
});

describe('a console', () => {
  const begin = '-----BEGIN SSH HOST KEY KEYS-----';
  const end = '-----END SSH HOST KEY KEYS-----';

  test('names the keys that cloud-init prints, between what else it says', () => {
    const text = [
      '[   11.2] cloud-init[512]: ssh-ed25519 AAAAnotthisone',
      begin,
      `${ecdsa} root@web\r`,
      `[   12.3] cloud-init[512]: ${ed25519} root@web\r`,
      '[   12.4] random: crng init done',
      end,
      'web login: ',
    ].join('\n');
    expect(chosenHostKey(hostKeysOn(text))).toBe(ed25519);
    expect(hostKeysOn(text)).toHaveLength(2);
  });

  test('names none before their last line is there', () => {
    expect(hostKeysOn(`${begin}\n${ecdsa}\n`)).toEqual([]);
    expect(hostKeysOn('')).toEqual([]);
  });

  test('is believed once: what comes after may be anybody’s', () => {
    const later = ed25519.replace('IHkL', 'IEVpbA');
    expect(hostKeysOn(`${begin}\n${ed25519}\n${end}\n${begin}\n${later}\n${end}\n`)).toEqual([ed25519]);
  });
});
