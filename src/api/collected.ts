import { workflowType } from '../contract/messages.ts';
import { isLeaseEnd } from '../contract/wait.ts';
import { DomainError, textParts } from '../domain/failure.ts';
import type { FileResult } from '../domain/transfer.ts';
import type { ApiDeps } from './deps.ts';
import { leaseStatus } from './lease-view.ts';
import { describe } from './workflows.ts';

/**
 * What a lease that is over collected from this path: its machine cannot be asked any more.
 * @param moveId workflow id of the move that is asked for: one that was begun before stays what it was
 * @returns undefined while there is a machine, and for a lease that collected nothing
 * @throws DomainError why it was not collected; Gone when it was no path of `collect`; NotFound for no such lease
 */
export async function collectedAt(
  { client }: ApiDeps,
  leaseId: string,
  path: string,
  moveId: string,
): Promise<FileResult | undefined> {
  const { state, collected = [] } = await leaseStatus(client, leaseId);
  if (collected.length === 0 || (state !== 'releasing' && !isLeaseEnd(state))) return undefined;
  const missing = (): DomainError => new DomainError('NotFound', `There is no move ${moveId}.`);
  const known = await describe(client, moveId, workflowType.file, missing).catch((error: unknown) => {
    if (error instanceof DomainError && error.type === 'NotFound') return undefined;
    throw error;
  });
  if (known !== undefined) return undefined;
  const found = collected.find((file) => file.path === path);
  if (found === undefined) {
    throw new DomainError('Gone', `Lease ${leaseId} is ${state}, and ${path} is not among what it collected.`, {
      hint: `a path as it was asked for: ${collected.map((file) => file.path).join(', ')}.`,
    });
  }
  if (!('reason' in found)) return found;
  const { message, hint } = textParts(found.reason.message);
  throw new DomainError(
    found.reason.type,
    // Most reasons name it.
    message.includes(path)
      ? `Lease ${leaseId} could not collect this: ${message}`
      : `Lease ${leaseId} could not collect ${path}: ${message}`,
    hint === undefined ? {} : { hint },
  );
}
