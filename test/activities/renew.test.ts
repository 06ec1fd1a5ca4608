import { MockActivityEnvironment } from '@temporalio/testing';
import { describe, expect, it } from 'vitest';
import type { Activities, GuestRef, MachineRef } from '../../src/activities/activities.ts';
import type { Deps } from '../../src/activities/deps.ts';
import { fullAccess } from '../../src/activities/look-ahead.ts';
import { specOf } from '../../src/activities/machine-spec.ts';
import { renewActivities } from '../../src/activities/renew.ts';
import type { FileSpec, Guest, GuestFacts } from '../../src/guest/guest.ts';
import type { Provider } from '../../src/providers/provider.ts';
import { fakeMachine, fakeRecipe, worker } from '../support/worker.ts';

const machine: MachineRef = { ...fakeMachine, machineId: 'web+1', leaseId: '', generation: 2, ref: { id: 'm1' } };
const bootString: Deps['bootString'] = async ({ machineId, birth, generation }) =>
  `${machineId}~${birth}~${generation}:10.0.2.2:4801;sha256//x=:secret${generation}`;
const ofGeneration = (generation: number): Promise<string> => bootString({ ...machine, generation }, undefined);

/** What calls home, of a bundle that waits for it. */
function renewing(userDataMaxBytes: number, more: Partial<Provider> = {}) {
  const get = async (): Promise<Uint8Array> => Buffer.from(JSON.stringify(fakeRecipe({ gate: { kind: 'checkin' } })));
  const installed = new Map<string, string>();
  const guest: Partial<Guest> = {
    probe: async () => ({}) as GuestFacts,
    reset: async () => [],
    async installFile({ path, mode, source }: FileSpec) {
      if ('bytes' in source) installed.set(`${mode} ${path}`, Buffer.from(source.bytes).toString());
      return { path, bytes: 0, sha256: '' };
    },
  };
  const made = worker({ userDataMaxBytes, reload: true }, more);
  const deps: Deps = {
    ...made,
    blobs: { get } as unknown as Deps['blobs'],
    guests: { ...made.guests, at: () => guest as Guest },
    bootString,
  };
  const access = fullAccess(deps, machine, { address: '127.0.0.1', port: 22, user: 'debian' });
  const run = <I, O>(activity: (input: I) => Promise<O>, input: I): Promise<O> =>
    new MockActivityEnvironment().run<[I], O, (input: I) => Promise<O>>(activity, input);
  type Reset = GuestRef & { readonly digest: string; readonly baseline: string };
  type Reload = Parameters<Activities['reloadMachine']>[0];
  const { resetGuest, reloadMachine } = renewActivities(deps);
  return {
    deps,
    installed,
    reset: () => run<Reset, unknown>(resetGuest, { machine, access, digest: 'of it', baseline: '' }),
    reload: () => run<Reload, unknown>(reloadMachine, { machine, digest: 'of it', variant: 0 }),
  };
}

describe('a machine that calls home', () => {
  it('does so as its next generation after a reset, and its user-data says the same', async () => {
    const kept = { text: '' };
    const { deps, installed, reset } = renewing(16_384, {
      userData: {
        read: async () => kept.text,
        async update(_ref, text) {
          kept.text = text;
        },
      },
    });
    const { userData = '' } = await specOf(deps, machine, 'of it', 0);
    // A person has changed it.
    kept.text = userData.replace('"hostname"', '"timezone":"UTC","hostname"');
    expect(kept.text).toContain(await ofGeneration(2));
    const folder = '/var/lib/slipway/boot';
    for (const _ of ['once', 'again, when its worker died over it']) {
      expect(await reset()).toMatchObject({ keptKeys: true, left: [] });
      expect([...installed.keys()]).toEqual([`0600 ${folder}/boot-string`, `0755 ${folder}/check-in`]);
      expect(installed.get(`0600 ${folder}/boot-string`)).toBe(`${await ofGeneration(3)}\n`);
      expect(kept.text).toBe(
        userData
          .replace('"hostname"', '"timezone":"UTC","hostname"')
          .replace(await ofGeneration(2), await ofGeneration(3)),
      );
    }
  });

  it('finds that in the home of who logs in where its provider takes no user-data', async () => {
    const { installed, reset } = renewing(0);
    await reset();
    expect(installed.get('0600 ~/.slipway/boot/boot-string')).toBe(`${await ofGeneration(3)}\n`);
  });

  it('is made anew with the user-data of its next generation', async () => {
    const asked: (readonly [string | undefined, number])[] = [];
    const { reload } = renewing(16_384, {
      async reload(_ref, { userData }, generation) {
        asked.push([userData, generation]);
      },
      get: async () => ({
        state: 'running',
        generation: 3,
        access: { address: '127.0.0.1', port: 22, user: 'debian' },
      }),
    });
    expect(await reload()).toMatchObject({ access: { address: '127.0.0.1' } });
    expect(asked).toEqual([[expect.stringContaining(`${await ofGeneration(3)}\\n`), 3]]);
    expect(asked[0]?.[0]).not.toContain('secret2');
  });
});
