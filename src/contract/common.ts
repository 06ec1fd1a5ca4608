import { z } from 'zod';
import { idPattern, idRule } from '../domain/ids.ts';
import { ownerPattern } from '../domain/owner.ts';

export const id = z.string().regex(idPattern, `must be ${idRule}`);
/** Letters of either case, as operators name things in `slipway.yaml`. */
export const name = z.string().regex(ownerPattern, 'must be letters, digits, dot, underscore and hyphen');
export const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/, 'must be 64 lower-case hex digits');
export const octalMode = z.string().regex(/^[0-7]{3,4}$/, 'must be octal, such as 0755');
export const envName = z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be a name such as MY_VAR');
export const unixName = z
  .string()
  .regex(/^[a-z_][a-z0-9_-]{0,31}\$?$|^\d{1,10}$/, 'must be a user or group name, or a number');
export const guestPath = z
  .string()
  .max(4096)
  .regex(/^(\/|~\/)[^\0]+$/, 'must be absolute on the guest, or start with ~/');
export const treeHasModes = { path: ['mode'], message: 'goes with a file only: a tree has its own modes' };
export const publicKeys = z
  .array(
    z
      .string()
      .max(16_384)
      .regex(/^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [^\r\n]*)?$/, 'must be an OpenSSH public key'),
  )
  .max(50);
/** A folder on the guest; `/` and `~` too. */
export const guestFolder = z
  .string()
  .max(4096)
  .regex(/^(\/|~$|~\/)[^\0]*$/, 'must be absolute on the guest, or start with ~');
/** Milliseconds, at most 400 days. */
export const durationMs = z.int().min(1).max(34_560_000_000);
/** No NUL: it cannot be passed to a process. */
export const word = z
  .string()
  .max(131_071)
  .regex(/^[^\0]*$/, 'must not hold a NUL');
export const words = z.array(word).min(1);
export const envMap = z.record(envName, word);
