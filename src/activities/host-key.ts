import { DomainError } from '../domain/failure.ts';
import type { HostKeyNews } from '../domain/host-key.ts';
import { hostKeyOf } from '../guest/openssh-key.ts';
import type { GuestRef } from './activities.ts';
import { pause } from './beat.ts';
import { guestOf, keyOf, providerOf, type Deps } from './deps.ts';

/** How long an sshd that was told to may go on with its old key. */
const switchWithinMs = 10_000;
const probeWithinMs = 5_000;

/**
 * Whether the guest is to make a host key of its own: the one that it was given has been in user-data, which others may be
 * able to read. Not where the provider itself serves its SSH or answers for its key, and not twice: of a guest that is reset
 * it is remembered what its files are.
 */
export function makesHostKey(deps: Deps, { machine, access }: GuestRef): boolean {
  const { userDataMaxBytes, rekey, standing = false } = providerOf(deps, machine.provider).capabilities();
  const given = access.pin === undefined || access.pin === 'injected';
  return given && userDataMaxBytes > 0 && !rekey && !standing && machine.keys === undefined;
}

/**
 * One of the two halves of a rotation, each of which may be done again: the guest makes a key; once that is recorded, it
 * switches to it and is logged in to by it alone.
 */
export async function hostKeyNews(deps: Deps, input: GuestRef, signal: AbortSignal): Promise<HostKeyNews | undefined> {
  if (!makesHostKey(deps, input)) return undefined;
  const guest = guestOf(deps, input);
  const { nextHostKey: next, ...access } = input.access;
  if (next === undefined) return guest.makeHostKey(signal);
  const before = keyOf(deps, input.machine, 'host-key');
  const kept = await guest.switchHostKey({ before: before.publicKey, next }, signal);
  if (kept !== undefined) return { kept };
  const rotated = hostKeyOf(next);
  await served(deps, { ...input, access: { ...access, ...rotated, pin: 'rotated' } }, before.fingerprint, signal);
  return { rotated };
}

/** Until a login by its new key alone. Each try that meets the old one costs us something with sshd: they grow rare. */
async function served(deps: Deps, input: GuestRef, before: string, signal: AbortSignal): Promise<void> {
  const untilMs = Date.now() + switchWithinMs;
  for (let waitMs = 20; ; waitMs *= 2) {
    try {
      await guestOf(deps, input).probe(AbortSignal.any([signal, AbortSignal.timeout(probeWithinMs)]));
      return;
    } catch (error) {
      signal.throwIfAborted();
      const old = error instanceof DomainError && error.details?.['served'] === before;
      if (error instanceof DomainError && error.type === 'HostKeyMismatch' && !old) throw error;
      if (Date.now() + waitMs > untilMs) throw old ? goesOn(input, error) : outOfReach(input, error);
      await pause(waitMs, signal);
    }
  }
}

const goesOn = ({ machine }: GuestRef, cause: unknown): DomainError =>
  new DomainError(
    'GuestNeverReady',
    `The sshd of machine ${machine.machineId} goes on with the host key that it was given, ${switchWithinMs / 1_000} s after it was told to read its new one.`,
    { cause },
  );

const outOfReach = ({ machine }: GuestRef, cause: unknown): DomainError =>
  cause instanceof DomainError
    ? cause
    : new DomainError(
        'GuestUnreachable',
        `Machine ${machine.machineId} does not answer since it changed its host key.`,
        {
          cause,
        },
      );
