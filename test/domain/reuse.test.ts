import { describe, expect, test } from 'vitest';
import {
  decideReuse,
  providerStates,
  reclaimPolicies,
  type FoundMachine,
  type ReturnedMachine,
} from '../../src/domain/reuse.ts';

/** Every combination of what may be known, one property after the other. */
function combinations<T extends object>(values: { readonly [Key in keyof T]-?: readonly T[Key][] }): T[] {
  const keys = Object.keys(values) as (keyof T)[];
  return keys.reduce<Partial<T>[]>(
    (all, key) =>
      all.flatMap((one) => values[key].map((value) => (value === undefined ? one : { ...one, [key]: value }))),
    [{}],
  ) as T[];
}

const founds = combinations<FoundMachine>({
  state: providerStates,
  reload: [true, false],
  guest: ['same', 'rebooted', 'silent', 'stranger'],
});
const all = combinations<ReturnedMachine>({
  policy: reclaimPolicies,
  pool: [undefined, 'web'],
  unwanted: [undefined, 'its bundle has changed'],
  taint: [undefined, 'its task job could not be killed'],
  baseline: [true, false],
  found: [undefined, ...founds],
});

const good: ReturnedMachine = {
  policy: 'reset',
  pool: 'web',
  baseline: true,
  found: { state: 'running', reload: false, guest: 'same' },
};
const foundAs = (change: Partial<FoundMachine>, rest: Partial<ReturnedMachine> = {}): ReturnedMachine => ({
  ...good,
  ...rest,
  found: { state: 'running', reload: false, guest: 'same', ...change },
});

describe('a machine that was given back', () => {
  test('is judged in every combination of what is known, with a reason', () => {
    expect(all).toHaveLength(3 * 2 * 2 * 2 * 2 * (1 + 6 * 2 * 4));
    for (const machine of all) expect(decideReuse(machine).why).toMatch(/^\S.*[^.\s]$/);
  });

  test('never goes back tainted, unwanted, rebooted, another, or without a pool', () => {
    for (const machine of all) {
      const { pool, taint, unwanted, policy, found } = machine;
      const bad =
        pool === undefined ||
        taint !== undefined ||
        policy === 'destroy' ||
        unwanted !== undefined ||
        (found && (found.guest === 'rebooted' || found.guest === 'stranger')) ||
        (found && !['pending', 'running', 'stopped'].includes(found.state));
      if (bad) expect(decideReuse(machine).do).toBe('destroy');
    }
  });

  test('goes back only after a look, in a way that is possible, and in none that undoes less than its bundle wants', () => {
    for (const machine of all) {
      const decision = decideReuse(machine).do;
      const { found, policy, baseline } = machine;
      if (!found) expect(['destroy', 'look']).toContain(decision);
      else expect(decision).not.toBe('look');
      if (decision === 'reload') expect(found?.reload).toBe(true);
      if (decision === 'reset') {
        expect(policy).toBe('reset');
        expect(baseline).toBe(true);
        expect(found).toMatchObject({ state: 'running', guest: 'same' });
      }
    }
  });

  test('goes back in some way wherever nothing speaks against it', () => {
    const { found: _, ...unseen } = good;
    expect(decideReuse(unseen)).toEqual({ do: 'look', why: 'its bundle says reclaim: reset' });
    expect(decideReuse(good)).toEqual({ do: 'reset', why: 'its bundle says reclaim: reset' });
    for (const state of ['pending', 'running', 'stopped'] as const) {
      for (const guest of ['same', 'silent'] as const) {
        const machine = foundAs({ state, guest, reload: true }, { policy: 'reload' });
        expect(decideReuse(machine)).toEqual({ do: 'reload', why: 'its bundle says reclaim: reload' });
      }
    }
  });

  test.each([
    [foundAs({ state: 'stopped' }), 'it cannot be reset, being stopped, nor can its provider reload it'],
    [
      foundAs({ guest: 'silent' }),
      'it cannot be reset, since its guest does not answer, nor can its provider reload it',
    ],
    [foundAs({}, { baseline: false }), 'since nobody knows what it looked like before'],
    [foundAs({}, { policy: 'reload' }), 'its bundle says reclaim: reload, and its provider cannot'],
    [foundAs({ state: 'absent' }), 'it is absent at its provider'],
    [foundAs({ guest: 'stranger' }), 'tainted: something else than the guest answers at its address'],
    [foundAs({ guest: 'rebooted' }), 'tainted: the guest booted again while it was leased'],
    [{ ...good, taint: 'its host key changed' }, 'tainted: its host key changed'],
    [{ ...good, unwanted: 'its bundle has changed' }, 'pool web does not want it back: its bundle has changed'],
    [{ ...good, policy: 'destroy' as const }, 'its bundle says reclaim: destroy'],
  ])('is destroyed, and says why (%#)', (machine, why) => {
    expect(decideReuse(machine)).toEqual({ do: 'destroy', why: expect.stringContaining(why) as string });
  });

  test('is reloaded where it should be reset and cannot be now', () => {
    expect(decideReuse(foundAs({ guest: 'silent', reload: true }))).toEqual({
      do: 'reload',
      why: 'it cannot be reset, since its guest does not answer, but reloaded',
    });
  });
});
