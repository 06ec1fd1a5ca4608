import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { z } from 'zod';

/*
 * Loaded once per worker, before any workflow, and shared by all: the SDK loads every other module anew for each workflow
 * that it takes up, and zod alone took 10 ms of each. What is shared is frozen: it may hold no state of a workflow.
 */

// What is parsed once is not worth a compiled parser.
z.config({ jitless: true });
// zod completes itself at its first use, which must come before it is frozen.
z.strictObject({ at: z.iso.datetime(), n: z.int().exactOptional() }).safeParse({ at: '' });

/** Named, or the bundler would leave them out. */
export const preloaded = [sha256, bytesToHex];
