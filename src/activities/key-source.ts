import type { GuestRef, MachineRef } from './activities.ts';
import { providerOf, type Deps } from './deps.ts';

/**
 * Whether the host key that we make comes to the guest by user-data, which others may be able to read. Not where the provider
 * serves its SSH itself, or tells a key of the machine's own.
 */
export function keyInUserData(deps: Deps, { provider }: MachineRef): boolean {
  const { userDataMaxBytes, rekey, standing = false } = providerOf(deps, provider).capabilities();
  return userDataMaxBytes > 0 && !rekey && !standing;
}

/** Whether the login is one after which the machine is known by another key, or by one at all. */
export const isFirstLogin = (deps: Deps, guest: GuestRef): boolean =>
  guest.access.hostKey === '' || makesHostKey(deps, guest);

/**
 * Whether the guest is to make a host key of its own in place of the one that it was given. Not twice: of a guest that is reset
 * it is remembered what its files are.
 */
export function makesHostKey(deps: Deps, { machine, access }: GuestRef): boolean {
  const { pin = 'injected' } = access;
  const { hostKey = 'rotated', keys } = machine;
  return pin === 'injected' && hostKey === 'rotated' && keys === undefined && keyInUserData(deps, machine);
}
