import { createHash } from 'node:crypto';
import type { Plan } from '../domain/bundle.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import type { PoolSettings } from '../domain/pool.ts';
import type { Resolved } from './bundle-resolve.ts';

/** The pool that keeps machines of the bundle. */
export const poolOfBundle = (pools: Readonly<Record<string, PoolSettings>>, bundle: string): string | undefined =>
  Object.entries(pools).find(([, settings]) => settings.bundle === bundle)?.[0];

/**
 * The plan with what a machine of the pool is made of: all of the recipe but what one lease brings (its files and keys,
 * which come last) or what only concerns leases.
 */
export function pooledPlan(
  pool: string,
  { recipe, plan }: Resolved,
  request: Pick<LeaseRequest, 'authorizedKeys' | 'files'>,
): Plan {
  const own = ((request.authorizedKeys ?? []).length > 0 ? 1 : 0) + (request.files ?? []).length;
  const steps = recipe.steps.length - own;
  const { ttlMs: _ttl, maxTtlMs: _most, attempts: _attempts, ...made } = recipe;
  const digest = createHash('sha256')
    .update(JSON.stringify({ ...made, steps: recipe.steps.slice(0, steps) }))
    .digest('hex');
  return { ...plan, pool: { name: pool, digest, steps, atOnce: true } };
}
