import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { describe, expect, it } from 'vitest';
import type { Activities, GuestRef, MachineRef } from '../../src/activities/activities.ts';
import type { Deps } from '../../src/activities/deps.ts';
import { fullAccess } from '../../src/activities/look-ahead.ts';
import { machineActivities } from '../../src/activities/machines.ts';
import { DomainError } from '../../src/domain/failure.ts';
import type { Guest, GuestFacts } from '../../src/guest/guest.ts';
import type { MachineView } from '../../src/providers/provider.ts';
import { until } from '../support/until.ts';
import { fakeMachine, worker } from '../support/worker.ts';

const machine: MachineRef = { ...fakeMachine, ref: { id: 'm1' }, keys: 1 };
const facts: GuestFacts = { bootId: 'b', kernel: 'k', hostname: 'web' };

/** Waits for a guest that answers once its provider was looked at so often. */
function accessible(views: readonly (MachineView | Error)[], answersAfter: number) {
  let looks = 0;
  const made = worker(
    {},
    {
      async get() {
        const view = views[Math.min(looks, views.length - 1)] ?? { state: 'absent' };
        looks += 1;
        if (view instanceof Error) throw view;
        return view;
      },
    },
  );
  const guest: Partial<Guest> = {
    async probe(signal) {
      await until('its provider was looked at', () => {
        signal.throwIfAborted();
        return looks >= answersAfter;
      });
      return facts;
    },
  };
  const deps: Deps = {
    ...made,
    times: { ...made.times, providerEveryMs: 10 },
    guests: { ...made.guests, at: () => guest as Guest },
  };
  const { awaitAccessible } = machineActivities(deps);
  const access = fullAccess(deps, machine, { address: '127.0.0.1', port: 22, user: 'debian' });
  const environment = new MockActivityEnvironment({}, { logger: new DefaultLogger('ERROR') });
  type Answer = Awaited<ReturnType<Activities['awaitAccessible']>>;
  return environment.run<[GuestRef], Answer, typeof awaitAccessible>(awaitAccessible, { machine, access });
}

describe('a guest that is waited for', () => {
  it('is lost as soon as its provider shows it stopped by a fault, which is said', async () => {
    const fault = 'the disk of the host is full, or fails';
    const views = [{ state: 'running' }, { state: 'stopped', fault }] as const;
    await expect(accessible(views, Infinity)).rejects.toMatchObject({
      type: 'GuestLost',
      message: `Machine web.1 is stopped at provider memory: ${fault}.`,
    });
  });

  it('is waited for on while a person has switched it off, and while its provider cannot say', async () => {
    const mute = new DomainError('ProviderUnavailable', 'It does not answer.');
    expect(await accessible([{ state: 'stopped' }, mute, { state: 'running' }], 4)).toMatchObject({ facts });
  });
});
