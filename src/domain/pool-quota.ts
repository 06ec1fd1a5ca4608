import type { Plan, VariantQuota } from './bundle.ts';
import type { PoolSettings } from './pool.ts';
import { resources, useOf, type QuotaLimits, type Resource } from './quota-use.ts';
import type { Account } from './quota.ts';

/** How many machines the quotas of its accounts allow a pool, and which of them it is that allows no more. */
export interface PoolMost {
  readonly machines: number;
  readonly why: string;
}

/** Undefined where the bundle can be made at a provider without quota. A pool is an owner: it has no more than one's part. */
export function mostOfPool({ quotas }: Plan, accounts: readonly Account[]): PoolMost | undefined {
  if (!quotas || quotas.includes(null)) return undefined;
  const costs = quotas.flatMap((cost) => cost ?? []);
  const each = [...new Set(costs.map(({ account }) => account))].map((name) => {
    const quota = accounts.find((account) => account.name === name)?.quota ?? {};
    const own = costs.filter(({ account }) => account === name);
    const bounds = own.map((cost) =>
      boundOf(cost, [
        ['quota', quota],
        ['quota.perOwner', quota.perOwner ?? {}],
      ]),
    );
    // Of the variants in one account that of which there may be the most.
    return bounds.reduce((a, b) => (b.machines > a.machines ? b : a));
  });
  const machines = each.reduce((sum, bound) => sum + bound.machines, 0);
  return Number.isFinite(machines) ? { machines, why: each.map(({ why }) => why).join(' and ') } : undefined;
}

function boundOf(cost: VariantQuota, limits: readonly (readonly [string, QuotaLimits])[]): PoolMost {
  const use = useOf(cost);
  const bounds = limits.flatMap(([key, limit]) =>
    resources.map((resource): PoolMost => {
      const most = limit[resource];
      const machines = most === undefined || use[resource] === 0 ? Infinity : Math.floor(most / use[resource]);
      return {
        machines,
        why: `account ${cost.account} allows ${machines} (${key}.${resource} ${most}${priced(resource, use[resource])})`,
      };
    }),
  );
  return bounds.reduce((a, b) => (b.machines < a.machines ? b : a));
}

const priced = (resource: Resource, cost: number): string => (resource === 'machines' ? '' : `, ${cost} a machine`);

/** Targets that could never be met. */
export function targetsAbove(
  { target, schedule = [] }: PoolSettings,
  most: PoolMost | undefined,
): readonly { readonly path: readonly (string | number)[]; readonly message: string }[] {
  const targets = [
    { path: ['target'], target },
    ...schedule.map((rule, n) => ({ path: ['schedule', n, 'target'], target: rule.target })),
  ];
  return targets
    .filter((each) => most && each.target > most.machines)
    .map((each) => ({ path: each.path, message: `${each.target} machines are more than there may be: ${most?.why}` }));
}
