import { z } from 'zod';
import type { Inventory } from '../domain/quota-heal.ts';
import type { AccountQuota, QuotaAsk } from '../domain/quota.ts';
import type { CallRate } from '../domain/token-bucket.ts';
import { reason } from './reports.ts';

/* The bodies of the messages to `quota/<account>`: small, because every workflow loads it. */

const amount = z.int().min(0).max(1_000_000_000);
const limits = { machines: amount.exactOptional(), cores: amount.exactOptional(), memoryMb: amount.exactOptional() };
const text = z.string().min(1).max(512);
const ms = z.int().min(0).max(34_560_000_000);

export const accountQuota: z.ZodType<AccountQuota> = z.strictObject({
  ...limits,
  perOwner: z.strictObject(limits).exactOptional(),
  coolDownMs: ms.exactOptional(),
});
const callRate: z.ZodType<CallRate> = z.strictObject({
  callsPerSecond: z.number().min(0.01).max(10_000),
  burst: z.int().min(1).max(10_000),
});
const machine = {
  key: text,
  machineId: text,
  leaseId: z.string().max(512),
  owner: text,
  cores: amount,
  memoryMb: amount,
};
const quotaAsk: z.ZodType<QuotaAsk> = z.strictObject({
  ...machine,
  priority: z.int().min(-100).max(100),
  provider: text,
  place: text,
  patient: z.boolean(),
});

/** What the operator's settings say now travels with every ask. */
export const reserveBody = z.strictObject({ ask: quotaAsk, quota: accountQuota });
export const takeCallsBody = z.strictObject({ calls: z.int().min(1).max(10_000), rate: callRate });
export const releaseQuotaBody = z.strictObject({ key: text });
export const stockoutBody = z.strictObject({ key: text, place: text, retryAfterMs: ms.exactOptional() });
export const throttledBody = z.strictObject({ retryAfterMs: ms.exactOptional() });
export const configureBody = z.strictObject({ quota: accountQuota.exactOptional(), rate: callRate.exactOptional() });
export const reconcileBody: z.ZodType<Inventory> = z.strictObject({
  provider: text,
  atMs: z.number().min(0),
  seen: z.array(z.strictObject(machine)),
  closed: z.array(text),
});
export const quotaGrantedBody = z.strictObject({ key: text });
export const quotaRefusedBody = z.strictObject({ key: text, reason });
