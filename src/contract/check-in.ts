import { z } from 'zod';
import type { GuestPost } from '../domain/guest-post.ts';
import { markReadyBody } from './lease.ts';

const from = {
  key: z.string().max(200),
  generation: z.int().min(1),
  source: z.string().max(100),
};

/** The signal `checkedIn` of a machine; the rendezvous sends it, once the guest has proven to be that machine. */
export const checkedInBody: z.ZodType<GuestPost> = z.strictObject({
  ...from,
  facts: z.record(z.string().max(64), z.string().max(65_536)).exactOptional(),
  hostKeys: z.array(z.string().max(16_384)).max(10).exactOptional(),
});

/** The signal `markReady` of a machine: a person's word, or its guest's, which says whose it is. */
export const machineReadyBody = markReadyBody.extend({ guest: z.strictObject(from).exactOptional() });
