import { z } from 'zod';
import type { CallRate } from '../domain/token-bucket.ts';
import { duration } from './bundle.ts';
import { name, sha256Hex } from './common.ts';

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

const path = z.string().min(1);

const image = z
  .strictObject({
    file: path.describe('a disk on this host, qcow2 or raw; never changed').exactOptional(),
    url: z
      .url({ protocol: /^https?$/, error: 'must be an http or https URL' })
      .describe('in place of `file`: fetched once, and kept; with `sha256` or `sha512`')
      .exactOptional(),
    sha256: sha256Hex.describe('what the bytes of the file, or at the URL, must be').exactOptional(),
    sha512: z
      .string()
      .regex(/^[0-9a-f]{128}$/, 'must be 128 lower-case hex digits')
      .describe('in place of `sha256`')
      .exactOptional(),
    kernel: path.describe('a Linux kernel to boot, for an image without a boot loader').exactOptional(),
    initrd: path.describe('goes with `kernel`').exactOptional(),
    append: path.describe('words for `kernel`; `console=ttyS0` when absent').exactOptional(),
    firmware: path.describe('in place of QEMU’s own, for images that boot by UEFI').exactOptional(),
    warm: z.boolean().describe('boot it once, and clone every machine from that').exactOptional(),
    user: z.string().min(1).max(32).describe('who logs in: its default user; `debian` when absent').exactOptional(),
  })
  .superRefine((value, context) => {
    const given = ['file', 'url'].filter((key) => key in value);
    if (given.length !== 1) context.addIssue('needs one of `file` and `url`');
    if ('url' in value && !('sha256' in value || 'sha512' in value))
      context.addIssue('`url` needs `sha256` or `sha512` beside it: what it serves may change');
    if ('initrd' in value && !('kernel' in value)) context.addIssue('`initrd` goes with `kernel` only');
  });

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
  z.looseObject({
    type: kind('qemu'),
    ...ofEach,
    images: z
      .record(name, image)
      .describe('of `qemu`: what its machines are made from, by name; `debian` of cloud.debian.org when absent')
      .exactOptional(),
    accelerator: z.enum(['kvm', 'hvf', 'tcg']).describe('of `qemu`; what a probe proves when absent').exactOptional(),
    machines: limit.describe('of `qemu`: how many may be there at once; any number when absent').exactOptional(),
    cores: limit.describe('of `qemu`: those of all machines; twice the host’s when absent').exactOptional(),
    memoryMb: limit.describe('of `qemu`: that of all machines; 4/5 of the host’s when absent').exactOptional(),
  }),
]);
