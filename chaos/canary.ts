import { randomBytes } from 'node:crypto';
import { truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { opensshKeyPair } from '../src/guest/openssh-key.ts';
import { localOf } from '../test/support/clear-away.ts';
import type { World } from './world.ts';

/** What a run does to itself so that it must go red: `debt` forgets a machine, `bytes` loses one of an output. */
export const canaries = ['debt', 'bytes'] as const;
export type Canary = (typeof canaries)[number];

const soon = (): AbortSignal => AbortSignal.timeout(30_000);

/** A machine of ours that no workflow owes: as if a debt had not been recorded before it was made. */
export async function forgetDebt(state: string): Promise<void> {
  const { provider, installation } = await localOf(state);
  const key = randomBytes(20).toString('hex');
  const hostKey = opensshKeyPair(randomBytes(32), 'canary').privateKey;
  const tags = {
    'slipway-installation': installation,
    'slipway-machine': 'canary.1',
    'slipway-lease': 'canary',
    'slipway-key': key,
  };
  await provider.create(key, { hostname: 'canary', variant: {}, hostKey, authorizedKeys: [] }, tags, soon());
  await provider.close();
}

/** As if the last byte of a kept output had never reached the disk. @returns whose */
export async function loseByte({ stack, expected, followed }: World): Promise<string> {
  for (const { plan, taskId } of expected) {
    const name = `${plan.leaseId}/${taskId}`;
    const seen = followed.get(name);
    if (plan.shape === 'full-disk' || seen?.result?.state !== 'exited' || seen.out.length === 0) continue;
    await truncate(join(stack.state, 'output', plan.leaseId, taskId, 'out'), seen.out.length - 1);
    return name;
  }
  throw new Error('The canary found no output to lose a byte of: let the run be longer.');
}
