import { z } from 'zod';
import type { LeaseRequest, RequestFile } from '../domain/lease.ts';
import { powerActions } from '../domain/power.ts';
import type { TaskSpec } from '../domain/task.ts';
import {
  durationMs,
  envMap,
  envName,
  guestFolder,
  guestPath,
  id,
  octalMode,
  publicKeys,
  sha256Hex,
  unixName,
  word,
  treeHasModes,
  words,
} from './common.ts';
import { notifyTarget } from './notify.ts';
import { parameterValues } from './parameters.ts';

/** The largest request, in bytes of its JSON. Larger things go by blob or file. */
export const requestLimitBytes = 65_536;

export const taskSpec: z.ZodType<TaskSpec> = z.strictObject({
  command: z.union([words, z.strictObject({ shell: word.min(1) })], {
    error: 'must be a list of words, such as ["ls", "-l"], or {"shell": "a text for sh"}',
  }),
  env: envMap.exactOptional(),
  secretEnv: z.record(envName, z.string().min(1).max(128)).exactOptional(),
  cwd: guestFolder.exactOptional(),
  user: unixName.exactOptional(),
  stdin: z
    .union([z.strictObject({ text: z.string() }), z.strictObject({ blob: sha256Hex })], {
      error: 'must be {"text": "…"}, or {"blob": "…"} with the digest of what was put',
    })
    .exactOptional(),
  limitMs: durationMs.exactOptional(),
  graceMs: z.int().min(0).max(3_600_000).exactOptional(),
});

const requestFile: z.ZodType<RequestFile> = z
  .strictObject({
    blob: sha256Hex.exactOptional(),
    url: z.url({ protocol: /^https?$/ }).exactOptional(),
    sha256: sha256Hex.exactOptional(),
    path: guestPath,
    mode: octalMode.exactOptional(),
    owner: unixName.exactOptional(),
    group: unixName.exactOptional(),
    tree: z.boolean().exactOptional(),
  })
  .refine((file) => (file.blob === undefined) !== (file.url === undefined), 'needs either blob or url')
  .refine((file) => file.tree !== true || file.mode === undefined, treeHasModes);

/** It travels as a line of its own. */
const collectedPath = guestFolder.regex(/^[^\r\n]*$/, 'must be one line');

export const leaseRequest: z.ZodType<LeaseRequest> = z.strictObject({
  leaseId: id,
  bundle: id,
  provider: id.exactOptional(),
  parameters: parameterValues.exactOptional(),
  files: z.array(requestFile).max(100).exactOptional(),
  job: taskSpec.exactOptional(),
  collect: z.array(collectedPath).max(50).exactOptional(),
  acquireWithinMs: durationMs.exactOptional(),
  ttlMs: durationMs.exactOptional(),
  attempts: z.int().min(1).max(10).exactOptional(),
  holdAfterJobMs: durationMs.exactOptional(),
  holdOnFailureMs: durationMs.exactOptional(),
  authorizedKeys: publicKeys.exactOptional(),
  notify: notifyTarget.exactOptional(),
  priority: z.int().min(-100).max(100).exactOptional(),
  metadata: z.record(z.string().max(64), z.string().max(1024)).exactOptional(),
});

/** Bodies of the lease's messages, over Temporal and HTTP alike. */
/** Why a person gives a machine up that its provider may have for ever. */
export const forgetBody = z.strictObject({ reason: z.string().trim().min(1).max(1000) });
export const powerBody = z.strictObject({ action: z.enum(powerActions) });
/** Over Temporal it also says who asks. */
export const machinePowerBody = powerBody.extend({ by: z.string().max(128).exactOptional() });
export const reasonBody = z.strictObject({ reason: z.string().max(1000).exactOptional() });
export const extendBody = z
  .strictObject({ byMs: durationMs.exactOptional(), untilMs: z.int().min(0).exactOptional() })
  .refine((body) => (body.byMs === undefined) !== (body.untilMs === undefined), 'needs either byMs or untilMs');
export const runTaskBody = z.strictObject({ taskId: id, spec: taskSpec });
export const markReadyBody = z.strictObject({
  result: z.int().exactOptional(),
  message: z.string().max(1000).exactOptional(),
});
