/** What one machine costs besides itself. Whole numbers, so that sums are exact. */
export interface QuotaCost {
  readonly cores: number;
  readonly memoryMb: number;
}

/** Bounds of what is in use at once; absent: none. */
export interface QuotaLimits {
  readonly machines?: number;
  readonly cores?: number;
  readonly memoryMb?: number;
}

export interface Use extends QuotaCost {
  readonly machines: number;
}

export const resources = ['machines', 'cores', 'memoryMb'] as const;
export type Resource = (typeof resources)[number];

export const noUse: Use = { machines: 0, cores: 0, memoryMb: 0 };

export const useOf = ({ cores, memoryMb }: QuotaCost): Use => ({ machines: 1, cores, memoryMb });

export const plus = (a: Use, b: Use): Use => ({
  machines: a.machines + b.machines,
  cores: a.cores + b.cores,
  memoryMb: a.memoryMb + b.memoryMb,
});

export const totalOf = (all: readonly QuotaCost[]): Use => all.map(useOf).reduce(plus, noUse);

export function usesBy(all: readonly (QuotaCost & { readonly owner: string })[]): Map<string, Use> {
  const uses = new Map<string, Use>();
  for (const each of all) uses.set(each.owner, plus(uses.get(each.owner) ?? noUse, useOf(each)));
  return uses;
}

/** The first bound that this would break. */
export const beyond = (use: Use, limits: QuotaLimits | undefined): Resource | undefined =>
  resources.find((resource) => use[resource] > (limits?.[resource] ?? Infinity));

/**
 * The largest part of any bound that this takes up (dominant resource fairness: Ghodsi et al., NSDI 2011): who has many
 * small machines and who has few large ones are compared by what is scarce for each. Without bounds, machines count.
 */
export function shareOf(use: Use, limits: QuotaLimits): number {
  const bounded = resources.filter((resource) => limits[resource] !== undefined);
  if (bounded.length === 0) return use.machines;
  return Math.max(...bounded.map((resource) => use[resource] / Math.max(1, limits[resource] ?? 1)));
}
