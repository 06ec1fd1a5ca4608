import { createHash, createPrivateKey, createPublicKey, hkdfSync } from 'node:crypto';
import type { HostKey } from '../domain/host-key.ts';

/** Which incarnation a secret belongs to: a reused machine id never inherits the keys of its former bearer. */
export interface MachineIdentity {
  readonly machineId: string;
  /** First execution's run id of the workflow that first wanted the machine. */
  readonly birth: string;
  /** Goes up at each reload or reset. */
  readonly generation: number;
}

export type SeedPurpose = 'host-key' | 'client-key' | 'check-in';

/**
 * Derives 32 secret bytes (HKDF-SHA256, RFC 5869) from the installation key, so that no machine's secret is ever stored:
 * any process that holds the installation key can make it again.
 */
export function deriveSeed(installationKey: Uint8Array, identity: MachineIdentity, purpose: SeedPurpose): Uint8Array {
  const info = JSON.stringify(['slipway', purpose, identity.machineId, identity.birth, identity.generation]);
  return new Uint8Array(hkdfSync('sha256', installationKey, 'slipway/1', info, 32));
}

export interface OpensshKeyPair {
  /** PEM `openssh-key-v1`, unencrypted: `ssh`, sshd and ssh2 take it (they refuse PKCS8 for ed25519). */
  readonly privateKey: string;
  /** `ssh-ed25519 AAAA…`, without comment. */
  readonly publicKey: string;
  /** `SHA256:…` as `ssh-keygen -l` shows it. */
  readonly fingerprint: string;
}

const keyType = 'ssh-ed25519';
/** The DER of a PKCS8 ed25519 private key up to its seed (RFC 8410). */
const pkcs8Prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * The ed25519 key pair of a 32-byte seed, in OpenSSH's formats (PROTOCOL.key of OpenSSH).
 * @param comment is kept in the private key; no secret
 */
export function opensshKeyPair(seed: Uint8Array, comment: string): OpensshKeyPair {
  const privateDer = createPrivateKey({ key: Buffer.concat([pkcs8Prefix, seed]), format: 'der', type: 'pkcs8' });
  const publicBytes = createPublicKey(privateDer).export({ format: 'der', type: 'spki' }).subarray(-32);
  const blob = Buffer.concat([text(keyType), field(publicBytes)]);
  // Only there to tell a wrong passphrase; derived, so that the same seed gives the same file.
  const check = createHash('sha256').update(seed).update('check').digest().subarray(0, 4);
  const secret = Buffer.concat([seed, publicBytes]);
  const inner = Buffer.concat([check, check, text(keyType), field(publicBytes), field(secret), text(comment)]);
  const padding = Buffer.from(Array.from({ length: (8 - (inner.length % 8)) % 8 }, (_, index) => index + 1));
  const outer = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    text('none'),
    text('none'),
    text(''),
    Buffer.from([0, 0, 0, 1]),
    field(blob),
    field(Buffer.concat([inner, padding])),
  ]);
  const lines = outer.toString('base64').match(/.{1,70}/g) ?? [];
  return {
    privateKey: ['-----BEGIN OPENSSH PRIVATE KEY-----', ...lines, '-----END OPENSSH PRIVATE KEY-----', ''].join('\n'),
    publicKey: `${keyType} ${blob.toString('base64')}`,
    fingerprint: fingerprintOf(blob),
  };
}

/** `SHA256:…` of a public key blob. */
export const fingerprintOf = (blob: Uint8Array): string =>
  `SHA256:${createHash('sha256').update(blob).digest('base64').replace(/=+$/, '')}`;

/** @param hostKey `ssh-ed25519 AAAA…` */
export const hostKeyOf = (hostKey: string): HostKey => ({
  hostKey,
  fingerprint: fingerprintOf(Buffer.from(hostKey.split(' ')[1] ?? '', 'base64')),
});

function field(bytes: Uint8Array): Buffer {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

const text = (value: string): Buffer => field(Buffer.from(value));
