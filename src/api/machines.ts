import { WorkflowNotFoundError } from '@temporalio/common';
import type { MachineView } from '../contract/http.ts';
import { machineUpdates } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { isGivenUp } from '../domain/given-up.ts';
import { machineWorkflowId } from '../domain/ids.ts';
import { isOver, type MachineStatus } from '../domain/lease.ts';
import { powerWithinMs, type PowerAction } from '../domain/power.ts';
import { lacking } from '../providers/lacking.ts';
import type { ApiDeps } from './deps.ts';
import { machineOf } from './lease-view.ts';
import { quickly } from './workflows.ts';

/** A provider that does not answer keeps nobody from seeing the machine. */
const lookWithinMs = 5_000;
const abilityWithinMs = 15_000;
/** Beyond what the machine itself gives its provider. */
const answerWithinMs = powerWithinMs + 10_000;

/** @throws DomainError NotFound */
export async function showMachine(deps: ApiDeps, machineId: string): Promise<MachineStatus> {
  const machine = await machineOf(deps.client, machineId);
  if (machine) return machine;
  throw new DomainError('NotFound', `There is no machine ${machineId}.`, { hint: 'slipway machine list --all' });
}

/** With how its provider says that it stands, at this look. @throws DomainError NotFound */
export async function viewMachine(deps: ApiDeps, machineId: string, signal: AbortSignal): Promise<MachineView> {
  const machine = await showMachine(deps, machineId);
  const provider = deps.provider(machine.provider);
  if (isOver(machine.phase) || !provider) return machine;
  try {
    const within = AbortSignal.any([signal, AbortSignal.timeout(lookWithinMs)]);
    const ref = await provider.findByKey(machine.key, within);
    return { ...machine, seen: ref ? (await provider.get(ref, within)).state : 'absent' };
  } catch (error) {
    if (!(error instanceof DomainError) && !isGivenUp(error)) throw error;
    return { ...machine, seen: 'unknown' };
  }
}

/** @throws DomainError NotFound, Gone (its life is over), InvalidRequest (it is not stuck) */
export const forgetMachine = (deps: ApiDeps, machineId: string, body: { readonly reason: string }) =>
  updateMachine(deps, machineId, (handle) =>
    quickly(deps.client, () => handle.executeUpdate<MachineStatus, [unknown]>(machineUpdates.forget, { args: [body] })),
  );

/**
 * Answers when its provider has taken it.
 * @throws DomainError NotFound, Gone (its life is over), InvalidRequest (not now; its provider cannot)
 */
export async function powerMachine(
  deps: ApiDeps,
  machineId: string,
  order: { readonly action: PowerAction; readonly by: string },
  signal: AbortSignal,
): Promise<MachineView> {
  await updateMachine(deps, machineId, (handle) =>
    deps.client.withDeadline(Date.now() + answerWithinMs, () =>
      handle.executeUpdate<MachineStatus, [unknown]>(machineUpdates.power, { args: [order] }),
    ),
  );
  return viewMachine(deps, machineId, signal);
}

type Handle = ReturnType<ApiDeps['client']['workflow']['getHandle']>;

async function updateMachine<T>(deps: ApiDeps, machineId: string, update: (handle: Handle) => Promise<T>): Promise<T> {
  try {
    return await update(deps.client.workflow.getHandle(machineWorkflowId(machineId)));
  } catch (error) {
    if (!(error instanceof WorkflowNotFoundError)) throw error;
    const { phase } = await showMachine(deps, machineId);
    throw new DomainError('Gone', `Machine ${machineId} has ended: it is ${phase}.`, { cause: error });
  }
}

type AtProvider = NonNullable<ReturnType<ApiDeps['provider']>>;
type Able<A extends keyof AtProvider> = AtProvider & Required<Pick<AtProvider, A>>;

/**
 * A machine at its provider, which has the ability, and the signal for what is asked of it.
 * @throws DomainError NotFound, Gone, InvalidRequest (its provider cannot)
 */
export async function ableMachine<A extends 'console' | 'userData' | 'images'>(
  deps: ApiDeps,
  machineId: string,
  ability: A,
  signal: AbortSignal,
) {
  const isAble = (each: AtProvider | undefined): each is Able<A> => each?.[ability] !== undefined;
  const { provider: name, key } = await showMachine(deps, machineId);
  const provider = deps.provider(name);
  if (!isAble(provider)) {
    const able = deps.providers.filter((each) => deps.provider(each)?.capabilities()[ability]);
    throw lacking(name, ability, able);
  }
  const within = AbortSignal.any([signal, AbortSignal.timeout(abilityWithinMs)]);
  const ref = await provider.findByKey(key, within);
  if (!ref) throw new DomainError('Gone', `Machine ${machineId} is not at provider ${name}.`);
  return { name, provider, ref, within };
}

/** The end of what it has said on its console. @throws DomainError NotFound, Gone, InvalidRequest (its provider cannot) */
export async function readConsole(
  deps: ApiDeps,
  machineId: string,
  maxBytes: number,
  signal: AbortSignal,
): Promise<string> {
  const { provider, ref, within } = await ableMachine(deps, machineId, 'console', signal);
  return provider.console(ref, maxBytes, within);
}
