import { currentUpdateInfo, workflowInfo } from '@temporalio/workflow';
import { attribute } from '../contract/attributes.ts';
import { openedByMemo } from '../contract/messages.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import { unknownOwner } from '../domain/owner.ts';

/** Whom this workflow was started for. The API puts it there, from the caller's token; a body cannot say it. */
export const ownerHere = (): string => workflowInfo().typedSearchAttributes.get(attribute.owner) ?? unknownOwner;

/** Whether the update that is being answered came with the start of this workflow. */
export const startedByThisUpdate = (): boolean => {
  const mark = workflowInfo().memo?.[openedByMemo];
  return mark !== undefined && mark === currentUpdateInfo()?.id;
};

/** Whether its starter has listed a new lease already, as the API does (who names an owner knows all attributes). */
export const isListed = (request: LeaseRequest): boolean => {
  const given = workflowInfo().typedSearchAttributes;
  return (
    given.get(attribute.owner) !== undefined &&
    given.get(attribute.state) === 'acquiring' &&
    given.get(attribute.bundle) === request.bundle &&
    given.get(attribute.lease) === request.leaseId
  );
};
