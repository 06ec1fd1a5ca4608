import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { EvidenceKind } from './evidence.ts';
import type { NotifyEvent } from './notify.ts';

/** Lease and task ids, as callers choose them. */
export const idPattern = /^[a-z0-9][a-z0-9._-]{0,62}$/;
export const idRule = 'lower-case letters, digits, dot, underscore and hyphen, the first a letter or digit, at most 63';

/** The task id of the job that a one-shot lease exists for. */
export const jobTaskId = 'job';

export const leaseWorkflowId = (leaseId: string): string => `lease/${leaseId}`;
export const machineWorkflowId = (machineId: string): string => `machine/${machineId}`;
export const quotaWorkflowId = (account: string): string => `quota/${account}`;
export const fileWorkflowId = (leaseId: string, fileId: string): string => `file/${leaseId}/${fileId}`;
export const keyWorkflowId = (leaseId: string, keyId: string): string => `key/${leaseId}/${keyId}`;
export const notifyWorkflowId = (leaseId: string, event: NotifyEvent): string => `notify/${leaseId}/${event}`;
export const taskWorkflowId = (leaseId: string, taskId: string): string => `task/${leaseId}/${taskId}`;

/** The id of a lease's machine; attempts count from 1. */
export const machineIdOf = (leaseId: string, attempt: number): string => `${leaseId}.${attempt}`;

export const poolWorkflowId = (name: string): string => `pool/${name}`;

/** The pool whose workflow id this is. */
export const poolNameOf = (workflowId: string): string | undefined =>
  workflowId.startsWith(poolWorkflowId('')) ? workflowId.slice(poolWorkflowId('').length) : undefined;

/** The id of a pool's machine; a lease and a pool of one name never meet, because no id holds a plus. */
export const poolMachineIdOf = (pool: string, n: number): string => `${pool}+${n}`;

/** The id under which an orphan ends whose own id belongs to a later life by now. No caller can choose it. */
export const besideId = (machineId: string, key: string): string => `${machineId}@${key.slice(0, 8)}`;

/** Where a task's output is stored and what its directory on the guest is derived from: `lease/task`. */
export const taskKey = (leaseId: string, taskId: string): string => `${leaseId}/${taskId}`;

/** The workflow that stores output under this key: a task's, or a machine's for its steps. */
export function outputWorkflowId(key: string): string {
  const [first = '', second = '', ...more] = key.split('/');
  return more.length > 0 ? machineWorkflowId(second) : taskWorkflowId(first, second);
}

/** A machine as it is in one generation: what was done to an earlier one is not done to this one. */
export const incarnationKey = (machineId: string, generation: number): string =>
  generation === 1 ? `machine/${machineId}` : `machine/${machineId}/g${generation}`;

/** The id under which the output of step `n` (from 0) of customizing a machine is stored. */
export const stepKey = (machineId: string, generation: number, n: number): string =>
  `${incarnationKey(machineId, generation)}/step/${n}`;

/** The id under which lies what a failed machine had to say. */
export const evidenceKey = (machineId: string, generation: number, what: EvidenceKind): string =>
  `${incarnationKey(machineId, generation)}/evidence/${what}`;

/** The id under which the output of command `n` (from 0) of resetting a machine is stored. */
export const resetKey = (machineId: string, generation: number, n: number): string =>
  `${incarnationKey(machineId, generation)}/reset/${n}`;

/**
 * The key that a provider knows a machine by: the same for every retry of its creation, another for a later machine that
 * reuses the id. 40 hex digits, because client tokens of clouds allow 64 characters.
 * @param birth the first execution's run id of the workflow that first wanted the machine
 */
export const providerKey = (machineId: string, birth: string): string =>
  bytesToHex(sha256(utf8ToBytes(`${machineId}\n${birth}`))).slice(0, 40);

/** The name of a task's directory on the guest. */
export const guestTaskDir = (key: string): string => bytesToHex(sha256(utf8ToBytes(key)));

/** A person may write a task as `lease/task`, and a lease alone for its job. */
export function parseTaskRef(ref: string): { leaseId: string; taskId: string } {
  const slash = ref.indexOf('/');
  return slash < 0
    ? { leaseId: ref, taskId: jobTaskId }
    : { leaseId: ref.slice(0, slash), taskId: ref.slice(slash + 1) };
}
