import type { Plan } from '../../src/domain/bundle.ts';

/** A plan without steps, whose limits are far away. */
export function fakePlan(change: Partial<Plan> = {}): Plan {
  return {
    bundle: { name: 'hello', digest: 'd'.repeat(64) },
    variants: ['fake'],
    steps: [],
    gate: 'steps',
    limits: {
      readyWithinMs: 300_000,
      provisionWithinMs: 120_000,
      loadWithinMs: 180_000,
      accessWithinMs: 120_000,
      customizeWithinMs: 240_000,
    },
    ttlMs: 3_600_000,
    maxTtlMs: 86_400_000,
    attempts: 2,
    ...change,
  };
}
