import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { afterSweep, isOtherLife, judge, type OwnerLife, type SweepReport } from '../../src/domain/sweep.ts';

const keys = [{}, { key: 'mine' }, { key: 'other' }];
const lives: readonly (OwnerLife | undefined)[] = [
  undefined,
  ...keys.flatMap((key) => [
    { open: true, ...key },
    { open: false, ...key },
    { open: true, forgotten: 'account closed', ...key },
    { open: false, forgotten: 'account closed', ...key },
  ]),
];

describe('whose a machine is', () => {
  test('is told for every life under its id and beside it', () => {
    const seen = new Set<string>();
    for (const life of lives) {
      for (const beside of lives) {
        const verdict = judge('mine', life, beside);
        seen.add(verdict);
        const told = JSON.stringify({ life, beside });
        // Whatever is reclaimed, no open life of its own was there.
        if (verdict !== 'owned') expect(life?.open && life.key !== 'other', told).toBeFalsy();
        if (verdict === 'orphan') expect(isOtherLife('mine', life) && beside?.open, told).toBeFalsy();
        // Whatever is kept, somebody open or a person has it.
        if (verdict === 'owned') expect(life?.open || beside?.open, told).toBe(true);
        if (verdict === 'forgotten') expect(life?.forgotten ?? beside?.forgotten, told).toBe('account closed');
      }
    }
    expect([...seen].sort()).toEqual(['forgotten', 'orphan', 'owned']);
  });

  test('a life that is open and may be its own always wins', () => {
    for (const key of [{}, { key: 'mine' }]) expect(judge('mine', { open: true, ...key })).toBe('owned');
  });

  test('a later life under its id does not own it', () => {
    expect(judge('mine', { open: true, key: 'other' })).toBe('orphan');
    expect(judge('mine', { open: true, key: 'other' }, { open: true, key: 'mine' })).toBe('owned');
  });
});

const report = (found: Partial<SweepReport> = {}): SweepReport => ({
  providers: ['local'],
  at: '2026-01-01T00:00:00.000Z',
  owned: 0,
  orphans: [],
  forgotten: [],
  failures: [],
  reclaimed: 0,
  ...found,
});
const failures = [{ provider: 'local', reason: { type: 'ProviderUnavailable', message: 'no answer' } }] as const;

describe('what a scheduled sweep leaves to the next', () => {
  test('is what it found, and when', () => {
    const now = report({ owned: 3, at: '2026-01-01T00:01:00.000Z' });
    expect(afterSweep(undefined, now)).toEqual({ ...now, lastGoodAt: now.at });
    expect(afterSweep(report({ owned: 9 }), now)).toEqual({ ...now, lastGoodAt: now.at });
  });

  test('keeps the last good counts while the provider gives no inventory, and says so', () => {
    const good = afterSweep(undefined, report({ owned: 3, oldest: { machineId: 'a.1', createdAt: 'then' } }));
    const later = '2026-01-01T00:05:00.000Z';
    const bad = afterSweep(good, report({ failures, at: later }));
    expect(bad).toEqual({ ...good, failures, at: later });
    expect(afterSweep(undefined, report({ failures })).lastGoodAt).toBeUndefined();
    const well = afterSweep(bad, report({ owned: 2, at: '2026-01-01T00:06:00.000Z' }));
    expect(well).toMatchObject({ owned: 2, failures: [], lastGoodAt: '2026-01-01T00:06:00.000Z' });
  });

  test('counts every reclaim once, whatever failed in between', () => {
    const run = fc.record({ reclaimed: fc.nat(50), bad: fc.boolean() });
    fc.assert(
      fc.property(fc.array(run), (runs) => {
        const last = runs.reduce<SweepReport | undefined>(
          (before, { reclaimed, bad }) =>
            afterSweep(before, report({ reclaimed: bad ? 0 : reclaimed, failures: bad ? failures : [] })),
          undefined,
        );
        const sum = runs.reduce((all, { reclaimed, bad }) => all + (bad ? 0 : reclaimed), 0);
        expect(last?.reclaimed ?? 0).toBe(sum);
      }),
    );
  });
});
