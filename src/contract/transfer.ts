import { z } from 'zod';
import type { CollectedFile, FileOrder, FileResult, FileStatus, KeyGrant } from '../domain/transfer.ts';
import { guestFolder, guestPath, id, octalMode, sha256Hex, treeHasModes, unixName } from './common.ts';
import { answer, reason } from './reports.ts';

export const fileOrder: z.ZodType<FileOrder> = z.union(
  [
    z.strictObject({
      put: z
        .strictObject({
          blob: sha256Hex,
          path: guestPath,
          mode: octalMode.exactOptional(),
          owner: unixName.exactOptional(),
          group: unixName.exactOptional(),
          parents: z.boolean().exactOptional(),
          tree: z.boolean().exactOptional(),
        })
        .refine((put) => put.tree !== true || put.mode === undefined, treeHasModes),
    }),
    z.strictObject({ get: z.strictObject({ path: guestFolder }) }),
  ],
  { error: 'expected {put: {blob, path}} or {get: {path}}' },
);

export const fileResult = answer<FileResult>({
  path: z.string(),
  bytes: z.int().min(0),
  sha256: z.string(),
  mode: z.string().exactOptional(),
  tree: z.boolean(),
  changed: z.boolean().exactOptional(),
});
export const collectedFile: z.ZodType<CollectedFile> = z.union([
  fileResult,
  answer<Extract<CollectedFile, { readonly reason: unknown }>>({ path: z.string(), reason }),
]);
export const fileStatus = answer<FileStatus>({
  leaseId: z.string(),
  fileId: z.string(),
  state: z.enum(['moving', 'moved']),
  result: fileResult.exactOptional(),
});

/** An OpenSSH public key, without options. */
export const publicKey = z
  .string()
  .max(16_384)
  .regex(/^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\r\n]*)?$/, 'must be an OpenSSH public key');

/** Long enough to log in; who is logged in stays so. */
export const defaultKeyMs = 60_000;
const longestKeyMs = 86_400_000;
export const keyBody = z.strictObject({
  publicKey,
  /** How long it may log in. */
  forMs: z.int().min(1_000).max(longestKeyMs).exactOptional(),
});
export const keyGrant = answer<KeyGrant>({ keyId: z.string(), until: z.iso.datetime() });

export const fileParams = z.strictObject({ id, file: id });
export const keyParams = z.strictObject({ id, key: id });
export const fetchedParams = z.strictObject({ sha256: sha256Hex });
