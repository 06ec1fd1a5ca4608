import { z } from 'zod';
import type { CallRate } from '../domain/token-bucket.ts';
import { duration } from './bundle.ts';
import { name } from './common.ts';

const limit = z.int().min(0).max(1_000_000_000);
const limits = {
  machines: limit.describe('machines at once').exactOptional(),
  cores: limit.describe('their cores, together').exactOptional(),
  memoryMb: limit.describe('their memory, together').exactOptional(),
};

const quota = z
  .strictObject({
    ...limits,
    perOwner: z.strictObject(limits).describe('the same three keys, for each owner of leases').exactOptional(),
    coolDownMs: duration
      .describe(
        'how long a zone and size that was out of stock is left alone at first (30s, with jitter; longer each time)',
      )
      .exactOptional(),
  })
  .describe('what we may have of the account at once; a lease over it waits in order');

const rate = z
  .strictObject({
    callsPerSecond: z.number().min(0.01).max(10_000).describe('over time'),
    burst: z.int().min(1).max(10_000).describe('at once (as many as in a second)').exactOptional(),
  })
  .describe('how often the account may be called, by all workers together')
  .transform(({ callsPerSecond, burst }): CallRate => ({
    callsPerSecond,
    burst: burst ?? Math.max(1, Math.floor(callsPerSecond)),
  }));

const kind = <K extends string>(type: K) => z.literal(type).describe('the kind of provider');
const ofEach = {
  account: name
    .describe('providers of one account share its quota and its rate (the provider’s own name)')
    .exactOptional(),
  quota: quota.exactOptional(),
  rate: rate.exactOptional(),
};

/** `providers.<name>` of `slipway.yaml`: what every provider has, and its own part. */
export const providerSettings = z.discriminatedUnion('type', [
  z.looseObject({ type: kind('local'), ...ofEach }),
  z.looseObject({
    type: kind('static'),
    ...ofEach,
    inventory: z
      .string()
      .min(1)
      .describe('of `static`, required there: the file that names its machines ([keys](inventory.md))'),
  }),
]);
