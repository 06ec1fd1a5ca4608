import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { DomainError } from '../../domain/failure.ts';

const count = z.int().min(0);
const moment = z.enum(['before', 'after']);

const schema = z.strictObject({
  /** The tier to use in place of the best one that the host allows. */
  tier: z.enum(['root', 'userns', 'plain']).exactOptional(),
  /** SSH port of new machines. */
  port: z.int().min(1).max(65_535).exactOptional(),
  /** How long the process stays without a machine and without a client. */
  idleMs: count.exactOptional(),
  /** A new machine shows itself as running this long after its create. */
  bootMs: count.exactOptional(),
  /** Machines at once; beyond it CapacityUnavailable. */
  capacity: count.exactOptional(),
  /** Machines at once; beyond it QuotaExceeded. */
  quota: count.exactOptional(),
  /** Give the lowest free address, so that a new machine has that of a destroyed one. */
  addressReuse: z.boolean().exactOptional(),
  /** SSH takes connections and says nothing. */
  neverAnswer: z.boolean().exactOptional(),
  /** SSH serves a key that nobody knows. */
  wrongHostKey: z.boolean().exactOptional(),
  /** The first logins on each machine that are refused. */
  refuseLogins: count.exactOptional(),
  userDataMaxBytes: count.exactOptional(),
  /** What waits for as long as it stands here. */
  gates: z
    .strictObject({
      create: moment.exactOptional(),
      destroy: moment.exactOptional(),
      /** `midway`: the old machine has gone, the new one is not made yet. */
      reload: z.enum(['before', 'midway', 'after']).exactOptional(),
      boot: z.boolean().exactOptional(),
      login: z.boolean().exactOptional(),
      exec: z.boolean().exactOptional(),
      /** A regular expression: only machines whose id (`<lease>.<attempt>`) it finds. */
      machine: z.string().exactOptional(),
      /** A regular expression: only commands that it finds; for `exec`. */
      command: z.string().exactOptional(),
    })
    .exactOptional(),
});

/**
 * `local/knobs.json`: what the place is like, and what holds it up for a test. What goes wrong with calls to it is injected
 * by the layer around every provider (`faults.json`). Read again at every call; no file, no knob turned.
 */
export type Knobs = z.output<typeof schema>;
export type Gates = NonNullable<Knobs['gates']>;

/** @throws DomainError InvalidRequest with all mistakes of the file */
export function readKnobs(path: string): Knobs {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  const parsed = schema.safeParse(parseJson(path, text));
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.map((issue) => `${issue.path.join('.') || 'file'}: ${issue.message}`);
  throw new DomainError('InvalidRequest', `${path}: ${mistakes.join('; ')}`, { hint: 'Mend the file or remove it.' });
}

function parseJson(path: string, text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new DomainError('InvalidRequest', `${path} is not JSON.`, { hint: 'Mend the file or remove it.', cause });
  }
}
