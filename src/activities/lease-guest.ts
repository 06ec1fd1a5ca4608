import { WorkflowNotFoundError } from '@temporalio/common';
import { queries } from '../contract/messages.ts';
import { isLeaseEnd } from '../contract/wait.ts';
import { DomainError } from '../domain/failure.ts';
import { leaseWorkflowId } from '../domain/ids.ts';
import type { GuestRef, LeaseGuest } from './activities.ts';
import type { Deps } from './deps.ts';

/**
 * The guest of a lease as it is now.
 * @throws DomainError NotFound, Gone for a lease that ends or has ended, InvalidRequest before it is ready
 */
export async function guestOfLease(deps: Deps, leaseId: string): Promise<GuestRef> {
  const { state, guest } = await asked(deps, leaseId);
  if (guest !== undefined && state !== 'releasing' && !isLeaseEnd(state)) return guest;
  if (state === 'acquiring') {
    throw new DomainError('InvalidRequest', `Lease ${leaseId} is not ready yet.`, {
      hint: `slipway lease wait ${leaseId}`,
    });
  }
  throw new DomainError('Gone', `Lease ${leaseId} is ${state}: its machine is not there any more.`, {
    hint: 'a new lease.',
  });
}

async function asked(deps: Deps, leaseId: string): Promise<LeaseGuest> {
  try {
    return await deps.client.workflow.getHandle(leaseWorkflowId(leaseId)).query<LeaseGuest>(queries.guest);
  } catch (cause) {
    if (cause instanceof WorkflowNotFoundError) {
      throw new DomainError('NotFound', `There is no lease ${leaseId}.`, { hint: 'slipway lease list --all', cause });
    }
    throw new DomainError('ProviderUnavailable', `Lease ${leaseId} does not answer.`, { cause });
  }
}
