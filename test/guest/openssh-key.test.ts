import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { describe, expect, it } from 'vitest';
import { deriveSeed, opensshKeyPair } from '../../src/guest/openssh-key.ts';
import { tool, whichTool } from './protocol.ts';

const installation = Buffer.alloc(32, 7);
const identity = { machineId: 'web.1', birth: 'run-1', generation: 1 };

describe('derived keys', () => {
  it('are the same for the same machine, and others for any other', () => {
    const seed = (change: Partial<typeof identity>, purpose: 'host-key' | 'client-key' = 'host-key'): string =>
      Buffer.from(deriveSeed(installation, { ...identity, ...change }, purpose)).toString('hex');
    const seeds = [
      seed({}),
      seed({ machineId: 'web.2' }),
      seed({ birth: 'run-2' }),
      seed({ generation: 2 }),
      seed({}, 'client-key'),
      Buffer.from(deriveSeed(Buffer.alloc(32, 8), identity, 'host-key')).toString('hex'),
    ];
    expect(new Set(seeds).size).toBe(seeds.length);
    // A change of the derivation would lock every worker out of every machine.
    expect(seed({})).toBe('67ce8aa9b657b0f2fbbb601a0c2b00446c8f2593afe53378848f60245840254d');
  });

  it('are OpenSSH keys for ssh2, and the pair belongs together', () => {
    const pair = opensshKeyPair(randomBytes(32), 'slipway web.1');
    const parsed = ssh2.utils.parseKey(pair.privateKey);
    if (parsed instanceof Error) throw parsed;
    expect(parsed.comment).toBe('slipway web.1');
    expect(`ssh-ed25519 ${parsed.getPublicSSH().toString('base64')}`).toBe(pair.publicKey);
    const signature = parsed.sign('text');
    const known = ssh2.utils.parseKey(pair.publicKey);
    if (known instanceof Error || signature instanceof Error) throw new Error('not parsed');
    expect(known.verify('text', signature)).toBe(true);
  });

  it.skipIf(whichTool('ssh-keygen') === undefined)(
    'are OpenSSH keys for ssh-keygen, whatever the seed and comment',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'slipway-key-'));
      try {
        for (const comment of ['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'abcdef', 'abcdefg']) {
          const pair = opensshKeyPair(randomBytes(32), comment);
          const file = join(folder, `key${comment}`);
          writeFileSync(file, pair.privateKey, { mode: 0o600 });
          expect(tool('ssh-keygen', '-y', '-f', file).trim()).toBe(`${pair.publicKey} ${comment}`.trim());
          expect(tool('ssh-keygen', '-l', '-f', file)).toContain(pair.fingerprint);
        }
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
  );
});
