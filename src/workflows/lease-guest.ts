import { workflowInfo } from '@temporalio/workflow';
import type { GuestRef, LeaseGuest } from '../activities/activities.ts';
import { providerKey } from '../domain/ids.ts';
import type { LeaseLife } from '../domain/lease-life.ts';
import { leaseStateOf } from '../domain/lease-next.ts';

/** The lease's guest as activities find it; undefined while there is none. */
export function guestRefOf({ machine, attempts, request }: LeaseLife): GuestRef | undefined {
  if (!machine?.access) return undefined;
  const { machineId, access } = machine;
  const { leaseId } = request;
  const birth = workflowInfo().firstExecutionRunId;
  const provider = attempts.at(-1)?.provider ?? '';
  // A machine that the lease did not start has said itself how its keys are derived.
  const own = machine.facts ?? { birth, generation: 1, provider, key: providerKey(machineId, birth) };
  return {
    machine: {
      machineId,
      leaseId,
      birth: own.birth,
      generation: own.generation,
      ...('keys' in own && own.keys !== undefined ? { keys: own.keys } : {}),
      provider: own.provider,
      key: own.key,
    },
    access,
  };
}

export function leaseGuest(life: LeaseLife): LeaseGuest {
  const phase = life.machine?.phase;
  const guest = phase === 'ready' || phase === 'held' ? guestRefOf(life) : undefined;
  return { state: leaseStateOf(life), ...(guest === undefined ? {} : { guest }) };
}
