import { z } from 'zod';
import { id } from '../contract/common.ts';
import { reasonBody } from '../contract/lease.ts';
import { mostPoolMachines, poolSetBody } from '../contract/pool.ts';
import { machineReport, reason } from '../contract/reports.ts';

const ms = z.int().min(1).max(34_560_000_000);
const machines = z.int().min(0).max(mostPoolMachines);

/** What may come to a pool. Made for pools only: every workflow loads this module, and few are pools. */
export function poolDoor() {
  const settings = z.strictObject({
    bundle: id,
    target: machines,
    ceiling: machines,
    idleMs: ms.exactOptional(),
    maxUses: z.int().min(1).exactOptional(),
    schedule: z
      .array(
        z.strictObject({
          cron: z.string(),
          timezone: z.string().exactOptional(),
          forMs: ms.exactOptional(),
          until: z.string().exactOptional(),
          target: machines,
        }),
      )
      .exactOptional(),
  });
  const plan = z.looseObject({
    bundle: z.looseObject({ name: z.string(), digest: z.string() }),
    variants: z.array(z.string()),
    steps: z.array(z.looseObject({ title: z.string() })),
    limits: z.looseObject({ readyWithinMs: z.number() }),
    ttlMs: z.number(),
  });
  const declared = z.strictObject({
    settings,
    plan: plan.exactOptional(),
    reason: reason.exactOptional(),
    refillAfterMs: z.int().min(0).exactOptional(),
    refused: z.literal(true).exactOptional(),
    most: z.strictObject({ machines: z.int().min(0), why: z.string() }).exactOptional(),
    tuning: z.looseObject({ reclaimWithinMs: z.number(), stuckRetryMs: z.number(), legMs: z.number() }),
  });
  const attempt = z.int().min(1);
  return {
    input: z.strictObject({ name: id, declared: declared.exactOptional() }),
    declared,
    retract: z.strictObject({ why: z.string().max(1000) }),
    claim: z.strictObject({
      leaseId: id,
      attempt,
      owner: z.string().max(128),
      priority: z.int().min(-100).max(100),
      digest: z.string(),
      ttlMs: ms,
      holdOnFailureMs: ms.exactOptional(),
      own: z.strictObject({ digest: z.string(), from: z.int().min(0), of: z.int().min(0) }).exactOptional(),
    }),
    withdraw: z.strictObject({ leaseId: id, attempt }),
    report: machineReport,
    set: poolSetBody,
    drain: reasonBody,
  };
}
