import { WorkflowNotFoundError } from '@temporalio/common';
import { DomainError } from '../domain/failure.ts';
import { besideId, machineWorkflowId } from '../domain/ids.ts';
import { isOtherLife, judge, type OwnerLife } from '../domain/sweep.ts';
import type { Deps } from './deps.ts';

/** Whose it is, and under which machine id it can be reclaimed when it is nobody's. */
export interface Owner {
  readonly verdict: ReturnType<typeof judge>;
  readonly reclaimAs: string;
  /** Why a person gave it up. */
  readonly reason: string;
}

/** Asks Temporal by id, because its index may lag. @throws DomainError ProviderUnavailable when it does not answer */
export async function ownerOf(deps: Deps, machineId: string, key: string): Promise<Owner> {
  const life = await lifeOf(deps, machineId);
  const aside = besideId(machineId, key);
  const other = isOtherLife(key, life);
  const beside = other ? await lifeOf(deps, aside) : undefined;
  return {
    verdict: judge(key, life, beside),
    reclaimAs: other && life?.open ? aside : machineId,
    reason: (other ? beside : life)?.forgotten ?? '',
  };
}

async function lifeOf(deps: Deps, machineId: string): Promise<OwnerLife | undefined> {
  const workflowId = machineWorkflowId(machineId);
  try {
    const { status, memo } = await deps.client.workflow.getHandle(workflowId).describe();
    const { key, forgotten } = memo ?? {};
    return {
      open: status.name === 'RUNNING',
      ...(typeof key === 'string' ? { key } : {}),
      ...(typeof forgotten === 'string' ? { forgotten } : {}),
    };
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw new DomainError('ProviderUnavailable', `Temporal does not answer about ${workflowId}.`, { cause: error });
  }
}
