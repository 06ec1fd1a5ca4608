import { DomainError } from '../domain/failure.ts';
import type { GuestAddress } from './guest.ts';
import { fingerprintOf } from './openssh-key.ts';

export interface HostKeySeen {
  /** Public key blobs: what it is known by, and what was served in its place. */
  readonly pinned: Buffer;
  stranger: Buffer | undefined;
}

/** Pure: what a connection that did not come about means, and who acts next. */
export function connectFailure(address: GuestAddress, error: unknown, seen: HostKeySeen | undefined): DomainError {
  const where = `${address.name} (${address.user}@${address.address} port ${address.port})`;
  const text = error instanceof Error ? error.message : '';
  const level = error instanceof Error && 'level' in error ? error.level : undefined;
  if (seen?.stranger) return mismatch(where, seen.pinned, fingerprintOf(seen.stranger), seen.stranger);
  if (/no matching host key/i.test(text) && seen) return mismatch(where, seen.pinned, 'only keys of other types');
  if (level === 'client-authentication') {
    return new DomainError('SshAuthRefused', `Login refused by ${where}: the guest does not accept slipway's key`, {
      hint: "Check that the image takes injected keys, and the bundle's login user.",
      cause: error,
    });
  }
  const why = reasons.find(([pattern]) => pattern.test(text))?.[1] ?? (text || 'the connection was closed');
  return new DomainError('GuestUnreachable', `Cannot reach ${where}: ${why}`, {
    hint: 'It may still be booting; slipway tries again until the deadline of its phase.',
    ...(error === undefined ? {} : { cause: error }),
  });
}

const mismatch = (where: string, pinned: Buffer, served: string, key?: Buffer): DomainError =>
  new DomainError(
    'HostKeyMismatch',
    `The host key of ${where} is not the pinned one: pinned ${fingerprintOf(pinned)}, served ${served}`,
    {
      hint: 'Something else answers at this address. Nothing was sent to it; look before you trust it.',
      details: { served, ...(key ? { servedKey: `${typeOf(key)} ${key.toString('base64')}` } : {}) },
    },
  );

/** A public key begins with the name of its type, as a string of SSH. */
const typeOf = (key: Buffer): string => key.subarray(4, 4 + key.readUInt32BE(0)).toString('latin1');

const reasons: readonly (readonly [RegExp, string])[] = [
  [/ECONNREFUSED/, 'the port refused (no SSH server listens yet)'],
  [/ETIMEDOUT|Timed out/i, 'no answer'],
  [/EHOSTUNREACH|ENETUNREACH|EHOSTDOWN/, 'no route to the address'],
  [/ENOTFOUND|EAI_AGAIN/, 'its name does not resolve'],
  [/Keepalive timeout/i, 'it answered no keepalive for 15 s'],
  // What OpenSSH 9.8's PerSourcePenalties look like: probe again only after a while.
  [/Connection lost before handshake/i, 'it closed the connection before the handshake'],
];
