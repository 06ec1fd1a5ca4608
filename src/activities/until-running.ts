import { DomainError } from '../domain/failure.ts';
import type { Access } from '../domain/lease.ts';
import type { MachineView, ProviderRef } from '../providers/provider.ts';
import type { MachineRef } from './activities.ts';
import { pause } from './beat.ts';
import { providerOf, type Deps } from './deps.ts';
import { fullAccess } from './look-ahead.ts';

/** How it stands at its provider, and what of that is a fault. */
export const standing = ({ machineId, provider }: MachineRef, { state, fault }: MachineView): string =>
  `Machine ${machineId} is ${state} at provider ${provider}${fault === undefined ? '' : `: ${fault}`}`;

/** What the provider calls the machine. @throws DomainError GuestLost where it knows none */
export async function refOf(deps: Deps, machine: MachineRef, signal: AbortSignal): Promise<ProviderRef> {
  const ref = machine.ref ?? (await providerOf(deps, machine.provider).findByKey(machine.key, signal));
  if (ref) return ref;
  throw new DomainError('GuestLost', `Machine ${machine.machineId} is not at provider ${machine.provider} any more.`);
}

/**
 * Waits until the provider shows the machine running, with an address.
 * @param isMeant false for a view of what it was before; then only its absence counts
 * @throws DomainError GuestLost when it ends instead
 */
export async function untilRunning(
  deps: Deps,
  machine: MachineRef,
  ref: ProviderRef,
  signal: AbortSignal,
  isMeant: (view: MachineView) => boolean = () => true,
): Promise<{ readonly access: Access; readonly facts: Readonly<Record<string, string>> }> {
  const provider = providerOf(deps, machine.provider);
  const { settleMs } = provider.capabilities();
  let absentSinceMs: number | undefined;
  for (let waitMs = 10; ; waitMs = Math.min(waitMs * 1.5, 2_000)) {
    const view = await provider.get(ref, signal);
    const { state, access, facts } = view;
    const meant = isMeant(view);
    if (meant && state === 'running' && access)
      return { access: fullAccess(deps, machine, access), facts: facts ?? {} };
    // Absent just after create may be a lagging view: it counts after the settle time only.
    absentSinceMs = state === 'absent' ? (absentSinceMs ?? Date.now()) : undefined;
    const vanished = absentSinceMs !== undefined && Date.now() - absentSinceMs > settleMs;
    if (vanished || state === 'destroying' || (meant && state === 'stopped'))
      throw new DomainError('GuestLost', `${standing(machine, view)}, before it ran.`);
    signal.throwIfAborted();
    await pause(waitMs, signal);
  }
}
