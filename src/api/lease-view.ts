import { WorkflowFailedError } from '@temporalio/client';
import type { Client, WorkflowExecutionDescription } from '@temporalio/client';
import type { LeaseView } from '../contract/http.ts';
import { isLeaseEnd } from '../contract/wait.ts';
import { queries, workflowType } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import type { Reason } from '../domain/failure.ts';
import { jobTaskId, leaseWorkflowId, machineWorkflowId } from '../domain/ids.ts';
import type { Attempt, LeaseEndState, LeaseResult, LeaseStatus, MachineStatus } from '../domain/lease.ts';
import { unknownOwner } from '../domain/owner.ts';
import { notifyNow } from './notify.ts';
import { queueNow } from './pools.ts';
import { waitNow } from './quotas.ts';
import { domainErrorOf } from './temporal-failure.ts';
import { describe, ownerKey, query, queryStatus, quickly } from './workflows.ts';

export const noLease = (leaseId: string): DomainError =>
  new DomainError('NotFound', `There is no lease ${leaseId}.`, {
    hint: 'slipway lease list --all shows the known ones.',
  });

/** @throws DomainError NotFound */
export const describeLease = (client: Client, leaseId: string): Promise<WorkflowExecutionDescription> =>
  describe(client, leaseWorkflowId(leaseId), workflowType.lease, () => noLease(leaseId));

/** What the lease says of itself, and where it cannot any more, what Temporal knows. @throws DomainError NotFound */
export async function leaseStatus(client: Client, leaseId: string): Promise<LeaseStatus> {
  const workflowId = leaseWorkflowId(leaseId);
  const asked = queryStatus<LeaseStatus>(client, workflowId);
  asked.catch(() => undefined); // read below
  const found = await describeLease(client, leaseId);
  if (found.status.name === 'RUNNING') return asked;
  const said = await asked.catch(() => undefined);
  if (said !== undefined && said.leaseId !== '' && isLeaseEnd(said.state)) return said;
  const end = await endOf(client, leaseId, found);
  return { ...(said ?? born(found)), ...end, leaseId };
}

const born = (found: WorkflowExecutionDescription): Omit<LeaseStatus, 'leaseId' | 'state'> => ({
  bundle: { name: '' },
  owner: found.typedSearchAttributes.get(ownerKey) ?? unknownOwner,
  attempts: [],
  times: { requested: found.startTime.toISOString() },
  tasks: [],
});

/** How a closed lease ended that cannot say it by itself: refused at the door, terminated, or of another version. */
async function endOf(
  client: Client,
  leaseId: string,
  found: WorkflowExecutionDescription,
): Promise<Partial<LeaseStatus> & { readonly state: LeaseEndState }> {
  const ended = found.closeTime ? { ended: found.closeTime.toISOString() } : {};
  const over = (state: LeaseEndState, reason?: Reason) => ({
    state,
    ...(reason ? { reason } : {}),
    times: { requested: found.startTime.toISOString(), ...ended },
  });
  const how = found.status.name;
  if (how === 'CANCELLED') return over('cancelled');
  if (how === 'TERMINATED' || how === 'TIMED_OUT') {
    const what = how === 'TERMINATED' ? 'was terminated' : 'timed out';
    return over('failed', {
      type: 'Gone',
      message: `The workflow of lease ${leaseId} ${what}; its machine reclaims itself.`,
    });
  }
  try {
    const result = await quickly(
      client,
      () => client.workflow.getHandle(leaseWorkflowId(leaseId)).result() as Promise<LeaseResult>,
    );
    return statusOfResult(result);
  } catch (error) {
    // A server that does not answer now says nothing of how the lease ended.
    const failure = error instanceof WorkflowFailedError ? domainErrorOf(error) : undefined;
    if (failure === undefined || failure.type === 'NotFound') throw error;
    const result = failure.details as LeaseResult | undefined;
    return typeof result?.leaseId === 'string'
      ? statusOfResult(result)
      : over('failed', { type: failure.type, message: failure.message });
  }
}

const statusOfResult = ({ job, ...result }: LeaseResult): LeaseStatus & { readonly state: LeaseEndState } => ({
  ...result,
  tasks: job ? [{ taskId: jobTaskId, state: job.state, command: job.command, result: job }] : [],
});

/** What the machine says of itself; undefined when there is none. */
export async function machineOf(client: Client, machineId: string): Promise<MachineStatus | undefined> {
  try {
    return await queryStatus<MachineStatus>(client, machineWorkflowId(machineId));
  } catch (error) {
    if (domainErrorOf(error)?.type === 'NotFound') return undefined;
    throw error;
  }
}

/** The lease with its machines as they are now: a machine outlives its lease, which knows it only until it has let go. */
export const leaseView = async (client: Client, leaseId: string): Promise<LeaseView> =>
  viewOf(client, await leaseStatus(client, leaseId));

export async function viewOf(client: Client, status: LeaseStatus): Promise<LeaseView> {
  const last = status.attempts.at(-1);
  const machines = await Promise.all(
    status.attempts.map((attempt) =>
      attempt === last || attempt.phase !== 'gone' ? machineOf(client, attempt.machineId) : Promise.resolve(undefined),
    ),
  );
  const asked = machines.at(-1);
  const waiting = asked && (await waitNow(client, asked));
  const machine = asked && waiting ? { ...asked, waiting } : asked;
  const attempts = status.attempts.map((attempt, n) =>
    attemptNow(status, attempt, attempt === last ? machine : machines[n]),
  );
  const queue = status.queue && (await queueNow(client, status.leaseId, status.queue));
  const notify = status.notify && (await notifyNow(client, status, status.notify));
  return {
    ...status,
    attempts,
    ...(queue ? { queue } : {}),
    ...(notify ? { notify } : {}),
    // What a pool's machine does for others is no part of this lease.
    ...(machine && isOf(status, machine) ? { machine } : {}),
  };
}

const isOf = ({ leaseId }: LeaseStatus, machine: MachineStatus): boolean =>
  machine.pool === undefined || machine.leaseId === leaseId;

function attemptNow(status: LeaseStatus, attempt: Attempt, machine: MachineStatus | undefined): Attempt {
  if (machine === undefined) return attempt;
  if (!isOf(status, machine)) return isLeaseEnd(status.state) ? { ...attempt, phase: 'warm' } : attempt;
  const reason = attempt.reason ?? machine.reason;
  // Of a pool's machine, what it went through since this lease has it.
  const since = machine.pool === undefined ? '' : (attempt.phases[0]?.at ?? machine.since);
  const phases = machine.phases.filter(({ at }) => at >= since);
  const evidence = attempt.evidence ?? machine.evidence;
  const { waiting: _told, ...rest } = attempt;
  return {
    ...rest,
    phase: machine.phase,
    phases,
    ...(reason ? { reason } : {}),
    ...(evidence ? { evidence } : {}),
    ...(machine.waiting ? { waiting: machine.waiting } : {}),
  };
}

export const leaseTasks = (client: Client, leaseId: string): Promise<LeaseStatus['tasks']> =>
  query(client, leaseWorkflowId(leaseId), queries.tasks);
