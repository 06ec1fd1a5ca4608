import { z } from 'zod';
import type { QuotaHolder, QuotaListing, QuotaStatus, QuotaWaiter } from '../domain/quota-status.ts';
import { name } from './common.ts';
import { answer, count, instant } from './reports.ts';

const limits = { machines: count.exactOptional(), cores: count.exactOptional(), memoryMb: count.exactOptional() };
const quota = z.looseObject({
  ...limits,
  perOwner: z.looseObject(limits).exactOptional(),
  coolDownMs: count.exactOptional(),
});
const use = { machines: count, cores: count, memoryMb: count };
const machine = {
  key: z.string(),
  machineId: z.string(),
  leaseId: z.string(),
  owner: z.string(),
  provider: z.string(),
  cores: count,
  memoryMb: count,
  since: instant,
};
const holder = answer<QuotaHolder>({
  ...machine,
  found: z.boolean().exactOptional(),
  missing: z.boolean().exactOptional(),
});
const waiter = answer<QuotaWaiter>({ ...machine, priority: z.int(), place: z.int().min(1), why: z.string() });
const rate = z.looseObject({
  callsPerSecond: z.number(),
  burst: count,
  callsLeft: count,
  pausedUntil: instant.exactOptional(),
});
const owners = z.array(z.looseObject({ owner: z.string(), ...use, waiting: count }));

export const quotaStatus = answer<QuotaStatus>({
  account: z.string(),
  quota,
  inUse: z.looseObject(use),
  owners,
  held: z.array(holder),
  waiting: z.array(waiter),
  coolDowns: z.array(z.looseObject({ place: z.string(), until: instant })),
  rate: rate.exactOptional(),
  healed: count,
});

/** One line of `slipway quota list`. */
export const quotaListing = answer<QuotaListing>({
  account: z.string(),
  providers: z.array(z.string()),
  quota,
  inUse: z.looseObject(use),
  owners,
  waiting: count,
  coolDowns: count,
  rate: rate.exactOptional(),
});

export const quotaParams = z.strictObject({ account: name });
