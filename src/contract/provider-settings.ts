import { z } from 'zod';
import type { CallRate } from '../domain/token-bucket.ts';
import { duration } from './bundle.ts';
import { name } from './common.ts';

const limit = z.int().min(0).max(1_000_000_000);
const limits = {
  machines: limit.exactOptional(),
  cores: limit.exactOptional(),
  memoryMb: limit.exactOptional(),
};

/** What we may have of an account at once; and each owner of leases. */
const quota = z.strictObject({
  ...limits,
  perOwner: z.strictObject(limits).exactOptional(),
  coolDownMs: duration.exactOptional(),
});

/** How often the account may be called, by all workers together. */
const rate = z
  .strictObject({
    callsPerSecond: z.number().min(0.01).max(10_000),
    burst: z.int().min(1).max(10_000).exactOptional(),
  })
  .transform(({ callsPerSecond, burst }): CallRate => ({
    callsPerSecond,
    burst: burst ?? Math.max(1, Math.floor(callsPerSecond)),
  }));

/** `providers.<name>` of `slipway.yaml`: what every provider has; its own part is checked by the provider. */
export const providerSettings = z.looseObject({
  type: z.literal('local'),
  /** Providers of one account share its quota and its rate; the provider's own name when absent. */
  account: name.exactOptional(),
  quota: quota.exactOptional(),
  rate: rate.exactOptional(),
});
