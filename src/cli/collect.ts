import { mkdir } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import type { SlipwayClient } from '../client/client.ts';
import type { LeaseView } from '../contract/http.ts';
import { DomainError, textParts } from '../domain/failure.ts';
import { shownWord } from '../domain/shell-word.ts';
import type { FileResult } from '../domain/transfer.ts';
import type { Cli } from './context.ts';
import { collectedLine } from './output/lease.ts';
import { harmless } from './output/table.ts';
import type { CollectFlag } from './parse.ts';
import { placeFile, targetOf } from './place-file.ts';

/** What became of one `--collect`. */
export type Placed =
  | (FileResult & { readonly local: string })
  | { readonly path: string; readonly reason: { readonly type: DomainError['type']; readonly message: string } };

export const fetchLater = (leaseId: string, { remote, local }: CollectFlag): string =>
  `slipway file get ${leaseId} ${shownWord(remote)}${local === undefined ? '' : ` ${shownWord(local)}`}`;

/**
 * Puts what a lease collected in its place here, one after the other, and says so of each; nothing of a lease whose job never
 * began.
 */
export async function placeCollected(
  cli: Cli,
  client: SlipwayClient,
  lease: LeaseView,
  flags: readonly CollectFlag[],
  signal: AbortSignal,
): Promise<readonly Placed[]> {
  const placed: Placed[] = [];
  for (const flag of flags) {
    const file = lease.collected?.find(({ path }) => path === flag.remote);
    if (file === undefined) continue;
    if ('reason' in file) {
      const { message, hint } = textParts(file.reason.message);
      const why = `${message.replace(/\.$/, '')} (${file.reason.type})`;
      cli.say(cli.paint('yellow', `  not collected: ${harmless(why)}`));
      // Where to look for what is not there: its machine is gone.
      if (hint !== undefined && file.reason.type !== 'NotFound') cli.say(`    Try: ${harmless(hint)}`);
      placed.push(file);
      continue;
    }
    try {
      const target = await targetOf(file, cli.io.cwd, flag.local);
      await mkdir(dirname(target), { recursive: true });
      await placeFile(file, client.files.download(file.sha256, file.bytes, signal), target);
      cli.say(`  collected ${collectedLine(file)} · to ${harmless(shownPath(cli.io.cwd, target))}`);
      placed.push({ ...file, local: target });
    } catch (error) {
      const reason = whyNot(error);
      cli.say(
        cli.paint('yellow', `  collected ${collectedLine(file)}, but ${harmless(reason.message)} (${reason.type})`),
      );
      cli.say(`    Try: ${fetchLater(lease.leaseId, { remote: flag.remote })} ELSEWHERE`);
      placed.push({ path: file.path, reason });
    }
  }
  return placed;
}

function whyNot(error: unknown): { readonly type: DomainError['type']; readonly message: string } {
  if (error instanceof DomainError) return { type: error.type, message: error.message };
  // A folder on the way that cannot be made.
  if (error instanceof Error && 'syscall' in error) return { type: 'InvalidRequest', message: error.message };
  throw error;
}

function shownPath(cwd: string, target: string): string {
  const path = relative(cwd, target);
  return path.startsWith('..') ? target : `./${path}`;
}
