import { WorkflowNotFoundError } from '@temporalio/common';
import { machineUpdates } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { machineWorkflowId } from '../domain/ids.ts';
import type { MachineStatus } from '../domain/lease.ts';
import type { ApiDeps } from './deps.ts';
import { machineOf } from './lease-view.ts';
import { quickly } from './workflows.ts';

/** @throws DomainError NotFound */
export async function showMachine(deps: ApiDeps, machineId: string): Promise<MachineStatus> {
  const machine = await machineOf(deps.client, machineId);
  if (machine) return machine;
  throw new DomainError('NotFound', `There is no machine ${machineId}.`, { hint: 'slipway machine list --all' });
}

/** @throws DomainError NotFound, Gone (its life is over), InvalidRequest (it is not stuck) */
export async function forgetMachine(
  deps: ApiDeps,
  machineId: string,
  body: { readonly reason: string },
): Promise<MachineStatus> {
  const handle = deps.client.workflow.getHandle(machineWorkflowId(machineId));
  try {
    return await quickly(deps.client, () =>
      handle.executeUpdate<MachineStatus, [unknown]>(machineUpdates.forget, { args: [body] }),
    );
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    const { phase } = await showMachine(deps, machineId);
    throw new DomainError('Gone', `Machine ${machineId} has ended: it is ${phase}.`, { cause: error });
  }
}
