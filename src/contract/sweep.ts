import { z } from 'zod';
import type { LedgerLine } from '../domain/ledger.ts';
import type { Forgotten, Orphan, SweepReport } from '../domain/sweep.ts';
import { answer, reason } from './reports.ts';

export const sweepBody = z.strictObject({
  provider: z.string().min(1).max(128).exactOptional(),
  reclaim: z.boolean().exactOptional(),
});

const found = {
  machineId: z.string(),
  provider: z.string(),
  kind: z.string(),
  key: z.string(),
  state: z.string(),
  createdAt: z.string(),
};
const oldest = z.looseObject({ machineId: z.string(), createdAt: z.string() }).exactOptional();
export const sweepReport = answer<SweepReport>({
  providers: z.array(z.string()),
  at: z.iso.datetime(),
  owned: z.int(),
  orphans: z.array(answer<Orphan>({ ...found, reclaimed: z.boolean() })),
  forgotten: z.array(answer<Forgotten>({ ...found, reason: z.string() })),
  oldest,
  failures: z.array(z.looseObject({ provider: z.string(), reason })),
  reclaimed: z.int().min(0),
  lastGoodAt: z.iso.datetime().exactOptional(),
});

export const ledgerLine = answer<LedgerLine>({
  provider: z.string(),
  owned: z.int().min(0),
  orphaned: z.int().min(0),
  stuck: z.int().min(0),
  forgotten: z.int().min(0),
  oldest,
  reclaimed: z.int().min(0),
  out: z.int().min(0).exactOptional(),
  look: z.looseObject({ at: z.iso.datetime(), failure: reason.exactOptional() }).exactOptional(),
  lastGoodAt: z.iso.datetime().exactOptional(),
  paused: z.literal(true).exactOptional(),
});
