import type { Client } from '@temporalio/client';
import { pino } from 'pino';
import type { MachineRef } from '../../src/activities/activities.ts';
import type { Deps } from '../../src/activities/deps.ts';
import type { Recipe } from '../../src/domain/bundle.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { createGuests } from '../../src/guest/guests.ts';
import type { Capabilities, Provider } from '../../src/providers/provider.ts';
import { fakePlan } from './fake-plan.ts';
import { memoryProvider } from './memory-provider.ts';

const unused = (): never => {
  throw new Error('not asked here');
};

/** What a worker has, with one provider in memory (`memory`); what is not asked for here fails. */
export function worker(can: Partial<Capabilities> = {}, more: Partial<Provider> = {}): Deps {
  const { provider } = memoryProvider();
  const capabilities = (): Capabilities => ({ ...provider.capabilities(), userDataMaxBytes: 16_384, ...can });
  const nothing = new Proxy({}, { get: unused });
  return {
    providers: new Map([['memory', { ...provider, ...more, capabilities }]]),
    guests: createGuests({ base: '/nowhere' }),
    outputs: nothing as Deps['outputs'],
    blobs: nothing as Deps['blobs'],
    fetched: nothing as Deps['fetched'],
    client: nothing as Client,
    accounts: unused,
    resolve: unused,
    secrets: { value: unused, forget: unused },
    notifyAllow: unused,
    bootString: unused,
    installation: { key: new Uint8Array(32).fill(7), id: 'here' },
    tuning: defaultTuning,
    times: { providerEveryMs: 1_000, guestEveryMs: 1_000, leaseEveryMs: 1_000, guestLostAfterMs: 1_000 },
    logger: pino({ level: 'silent' }),
  };
}

/** A machine on that provider, as it is asked for. */
export const fakeMachine = {
  machineId: 'web.1',
  leaseId: 'web',
  birth: 'run',
  generation: 1,
  provider: 'memory',
  key: 'k'.repeat(40),
} as const satisfies MachineRef;

/** A recipe of nothing, on that provider. */
export const fakeRecipe = (change: Partial<Recipe> = {}): Recipe => ({
  name: 'own',
  variants: [{ provider: 'memory', spec: {} }],
  steps: [],
  gate: { kind: 'steps' },
  limits: fakePlan().limits,
  ttlMs: 1,
  maxTtlMs: 1,
  attempts: 1,
  outputLimitBytes: 1,
  reclaim: 'destroy',
  ...change,
});
