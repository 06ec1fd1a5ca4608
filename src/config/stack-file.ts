import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { DomainError } from '../domain/failure.ts';
import { replaceFile } from '../host/atomic-file.ts';

/** `dev`: kept up by a person; `background`: ends when idle; `one-shot`: belongs to one `slipway run`. */
export const stackModes = ['foreground', 'background', 'one-shot'] as const;

const temporalSchema = z.object({
  /** Host and port of the Temporal frontend, loopback unless the stack was started with `--temporal`. */
  address: z.string().min(1),
  namespace: z.string().min(1),
  taskQueue: z.string().min(1),
  /** Base URL of the Temporal UI; absent for a server that is not ours. */
  ui: z.url().optional(),
  /**
   * Set when the server is not ours: connection options (TLS, API key) then come from the environment and this profile
   * of Temporal's own configuration, never from this file. The empty text is the default profile.
   */
  profile: z.string().optional(),
});

const schema = z.object({
  version: z.literal(1),
  /** The supervisor. */
  pid: z.int().positive(),
  /** What tells this process from a later one with the same pid. */
  processStart: z.string(),
  /** ISO 8601. */
  startedAt: z.string(),
  mode: z.enum(stackModes),
  temporal: temporalSchema,
  /** Absent until the API has answered for the first time. */
  api: z.object({ url: z.url() }).optional(),
});

export type StackMode = (typeof stackModes)[number];
export type StackFile = z.infer<typeof schema>;
export type StackTemporal = StackFile['temporal'];

/**
 * The addresses of the stack that owns the state folder, or nothing where no `stack.json` lies. What stands there may be
 * stale: `findStack` says whether that stack still lives.
 * @throws DomainError InvalidRequest when the file is not ours
 */
export async function readStackFile(path: string): Promise<StackFile | undefined> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const hint = 'Remove the file when no slipway process runs on this folder, or choose another with --state.';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw new DomainError('InvalidRequest', `${path} is not JSON.`, { hint, cause });
  }
  const read = schema.safeParse(json);
  if (read.success) return read.data;
  throw new DomainError('InvalidRequest', `${path} is not a stack of this slipway: ${z.prettifyError(read.error)}`, {
    hint,
  });
}

/** Replaces `stack.json` as a whole: a reader sees the old stack or the new one. */
export const writeStackFile = (path: string, stack: StackFile): Promise<void> =>
  replaceFile(path, `${JSON.stringify(stack, null, 2)}\n`);
