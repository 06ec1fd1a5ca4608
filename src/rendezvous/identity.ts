import { createHash, timingSafeEqual } from 'node:crypto';
import type { CheckInIdentity } from '../domain/guest-post.ts';
import { deriveSeed } from '../guest/openssh-key.ts';

/** How a machine names itself: plain in a URL, and without a colon, which parts the boot string. */
export const nameOf = ({ machineId, birth, generation }: CheckInIdentity): string =>
  `${machineId}~${birth}~${generation}`;

const named = /^([a-z0-9][a-z0-9._+-]{0,199})~([A-Za-z0-9-]{1,64})~([1-9]\d{0,6})$/;

export function identityNamed(name: string): CheckInIdentity | undefined {
  const [, machineId, birth, generation] = named.exec(name) ?? [];
  if (machineId === undefined || birth === undefined) return undefined;
  return { machineId, birth, generation: Number(generation) };
}

/** What proves a guest to be this machine in this life and generation: derived, so that no replica has to be told. */
export const secretOf = (installationKey: Uint8Array, who: CheckInIdentity): string =>
  Buffer.from(deriveSeed(installationKey, who, 'check-in')).toString('hex');

/** In constant time. */
export function isSecretOf(installationKey: Uint8Array, who: CheckInIdentity, given: string): boolean {
  const digest = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(given), digest(secretOf(installationKey, who)));
}
