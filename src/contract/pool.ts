import { z } from 'zod';

/** Of one pool: all of them are carried in one payload. */
export const mostPoolMachines = 500;
const machines = z.int().min(0).max(mostPoolMachines);

/** Bodies of a pool's updates, over Temporal and HTTP alike. */
export const poolSetBody = z
  .strictObject({
    target: machines.exactOptional(),
    ceiling: machines.exactOptional(),
    /** Back to what is declared. */
    reset: z.literal(true).exactOptional(),
  })
  .refine(
    ({ target, ceiling, reset }) => reset !== (target !== undefined || ceiling !== undefined ? true : undefined),
    'needs `target` or `ceiling`, or else `reset: true`',
  );
