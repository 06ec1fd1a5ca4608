import type { Client } from '@temporalio/client';
import { WorkflowNotFoundError } from '@temporalio/common';
import { queries } from '../contract/messages.ts';
import { outOfTurn } from '../domain/check-in.ts';
import type { CheckInIdentity } from '../domain/guest-post.ts';
import { machineWorkflowId } from '../domain/ids.ts';
import type { MachineStatus } from '../domain/lease.ts';
import type { Refusal } from './outcomes.ts';

export interface ServedDeps {
  readonly client: Client;
  /** Whether a call from another address than the first one is refused, as the settings say now. */
  readonly sameSource: () => Promise<boolean>;
}

/** A guest waits for the answer, and asks again. */
export const withinMs = 10_000;

/** As long as its life is open; undefined afterwards. */
export async function statusOf(
  { client }: Pick<ServedDeps, 'client'>,
  machineId: string,
): Promise<MachineStatus | undefined> {
  const handle = client.workflow.getHandle(machineWorkflowId(machineId));
  try {
    return await client.withDeadline(Date.now() + withinMs, async () => {
      // A closed life would answer too, at the price of its whole history.
      if ((await handle.describe()).status.name !== 'RUNNING') return undefined;
      return handle.query<MachineStatus>(queries.status);
    });
  } catch (error) {
    if (error instanceof WorkflowNotFoundError) return undefined;
    throw error;
  }
}

/** The machine of a guest that fetches something, while it may. */
export async function servedTo(
  deps: ServedDeps,
  who: CheckInIdentity,
  source: string,
): Promise<{ readonly status: MachineStatus } | Refusal> {
  const status = await statusOf(deps, who.machineId);
  if (!status) return { refused: 'late' };
  const refused = outOfTurn(status, who, { source, sameSource: await deps.sameSource() });
  return refused ? { refused } : { status };
}
