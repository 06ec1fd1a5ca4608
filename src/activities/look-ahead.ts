import { isGuestsOwn } from '../domain/host-key.ts';
import type { Located, Reached } from '../domain/machine-life.ts';
import { hostKeyOf } from '../guest/openssh-key.ts';
import type { MachineView, ProviderRef } from '../providers/provider.ts';
import type { MachineRef } from './activities.ts';
import { guestOf, isStanding, keyOf, providerOf, type Deps } from './deps.ts';
import { isFirstLogin, keyInUserData } from './key-source.ts';

/** A guest that answers at once does so in a tenth of this; any other is waited for by the phases that know how. */
const aheadMs = 500;

export interface Ahead {
  readonly located?: Located;
  readonly reached?: Reached;
}

/**
 * What a fast provider has ready as soon as the create answers: its phases then cost no further rounds through the server.
 * What is not there yet, or goes wrong, is left to the phase that it belongs to, which looks again and judges.
 */
export async function lookAhead(
  deps: Deps,
  machine: MachineRef,
  ref: ProviderRef,
  signal: AbortSignal,
): Promise<Ahead> {
  const soon = AbortSignal.any([signal, AbortSignal.timeout(aheadMs)]);
  let located: Located | undefined;
  try {
    let sinceMs = performance.now();
    const lap = (): number => {
      const tookMs = Math.round(performance.now() - sinceMs);
      sinceMs = performance.now();
      return tookMs;
    };
    const { state, access, facts } = await providerOf(deps, machine.provider).get(ref, soon);
    if (state !== 'running' || !access) return {};
    located = { access: fullAccess(deps, machine, access), facts: facts ?? {}, tookMs: lap() };
    // The login that has a key made, or learns one, is the phase's own.
    if (isFirstLogin(deps, { machine, access: located.access })) return { located };
    const probed = await guestOf(deps, { machine, access: located.access }).probe(soon);
    return { located, reached: { facts: { ...probed }, tookMs: lap() } };
  } catch {
    return located ? { located } : {};
  }
}

/** With the pinned key, which is derived and not taken from the provider, unless its machines stand. */
export function fullAccess(
  deps: Deps,
  machine: MachineRef,
  { address, port, user, hostKey }: NonNullable<MachineView['access']>,
): Located['access'] {
  const where = { machineId: machine.machineId, address, port, user };
  if (hostKey !== undefined)
    return { ...where, ...hostKeyOf(hostKey), pin: isStanding(deps, machine) ? 'inventory' : 'provider' };
  if (isGuestsOwn(machine.hostKey) && keyInUserData(deps, machine))
    return { ...where, hostKey: '', fingerprint: '', pin: machine.hostKey };
  const { publicKey, fingerprint } = keyOf(deps, machine, 'host-key');
  return { ...where, hostKey: publicKey, fingerprint, pin: 'injected' };
}
