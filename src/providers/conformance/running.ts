import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { opensshKeyPair } from '../../guest/openssh-key.ts';
import type { CreateSpec, MachineView, ProviderRef } from '../provider.ts';
import { destroyed, seen } from './looks.ts';
import type { Keys } from './mark.ts';
import { limit, newMachineOf, type Subject } from './subject.ts';

export const newKeys = (): Keys => ({
  host: opensshKeyPair(randomBytes(32), ''),
  client: opensshKeyPair(randomBytes(32), ''),
});

export interface Running {
  readonly ref: ProviderRef;
  readonly keys: Keys;
  readonly access: NonNullable<MachineView['access']>;
  readonly specOf: (keys: Keys) => CreateSpec;
}

/** A running machine of known keys; destroyed in the end. */
export async function withRunning(subject: Subject, use: (running: Running) => Promise<void>): Promise<void> {
  const { key, tags } = newMachineOf(subject);
  const keys = newKeys();
  const specOf = ({ host, client }: Keys): CreateSpec => ({
    ...subject.spec(tags['slipway-lease']),
    hostKey: host.privateKey,
    authorizedKeys: [client.publicKey],
  });
  const ref = await subject.provider.create(key, specOf(keys), tags, limit(subject));
  const { access } = await seen(subject, ref, 'running');
  assert.ok(access, 'a running machine has a way in');
  await use({ ref, keys, access, specOf });
  await destroyed(subject, ref);
}
