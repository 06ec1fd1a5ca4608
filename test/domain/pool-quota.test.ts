import { describe, expect, test } from 'vitest';
import type { VariantQuota } from '../../src/domain/bundle.ts';
import { mostOfPool, targetsAbove } from '../../src/domain/pool-quota.ts';
import type { AccountQuota } from '../../src/domain/quota.ts';
import { fakePlan } from '../support/fake-plan.ts';

const cost = (account: string, cores = 1, memoryMb = 0): VariantQuota => ({ account, place: account, cores, memoryMb });
const account = (name: string, quota: AccountQuota) => ({ name, providers: [name], quota });
const most = (quotas: readonly (VariantQuota | null)[], ...accounts: ReturnType<typeof account>[]) =>
  mostOfPool(fakePlan({ quotas }), accounts);

describe('the most machines of a pool', () => {
  test('are bounded by what is scarcest of its account, also for one owner', () => {
    const lab = account('lab', { machines: 9, cores: 16, memoryMb: 10_000, perOwner: { machines: 7 } });
    expect(most([cost('lab')], lab)).toEqual({ machines: 7, why: 'account lab allows 7 (quota.perOwner.machines 7)' });
    expect(most([cost('lab', 4)], lab)).toEqual({
      machines: 4,
      why: 'account lab allows 4 (quota.cores 16, 4 a machine)',
    });
    expect(most([cost('lab', 4, 4_096)], lab)?.machines).toBe(2);
    expect(most([cost('lab', 17)], lab)?.machines).toBe(0);
  });

  test('are those of all its accounts together, of each by the variant that there may be most of', () => {
    const accounts = [account('lab', { cores: 8 }), account('cloud', { machines: 3 })];
    expect(most([cost('lab', 4), cost('cloud', 4), cost('lab', 2)], ...accounts)).toEqual({
      machines: 7,
      why: 'account lab allows 4 (quota.cores 8, 2 a machine) and account cloud allows 3 (quota.machines 3)',
    });
  });

  test('are any number where one variant has no quota, or the quota bounds nothing that it takes', () => {
    expect(mostOfPool(fakePlan(), [])).toBeUndefined();
    expect(most([cost('lab'), null], account('lab', { machines: 1 }))).toBeUndefined();
    expect(most([cost('lab')], account('lab', { memoryMb: 100 }))).toBeUndefined();
  });

  test('are held against the target and that of each period', () => {
    const settings = { bundle: 'hello', target: 3, ceiling: 9, schedule: [{ cron: '0 8 * * *', forMs: 1, target: 5 }] };
    const at = (machines: number) => targetsAbove(settings, { machines, why: 'so' }).map(({ path }) => path.join('.'));
    expect(at(5)).toEqual([]);
    expect(at(4)).toEqual(['schedule.0.target']);
    expect(at(2)).toEqual(['target', 'schedule.0.target']);
    expect(targetsAbove(settings, undefined)).toEqual([]);
  });
});
