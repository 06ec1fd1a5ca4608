import { DomainError } from '../domain/failure.ts';
import { isGivenUp } from '../domain/given-up.ts';
import { chosenHostKey, hostKeysOn, type HostKeyNews } from '../domain/host-key.ts';
import { hostKeyOf } from '../guest/openssh-key.ts';
import type { GuestRef } from './activities.ts';
import { pause } from './beat.ts';
import { addressOf, guestOf, keyOf, providerOf, type Deps } from './deps.ts';
import { makesHostKey } from './key-source.ts';
import { betweenLooksMs, untilAnswered } from './until-answered.ts';
import { refOf } from './until-running.ts';

/** How long an sshd that was told to may go on with its old key, or not answer; a guest without an accelerator takes seconds. */
const switchWithinMs = 60_000;
const probeWithinMs = 20_000;
const lookAgainMs = 1_000;
/** cloud-init prints its keys near its end; a boot before that says much. */
const consoleBytes = 1_048_576;

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
  for (let waitMs = 20; ; waitMs = Math.min(waitMs * 2, 8_000)) {
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
    { hint: 'hostKey: injected in its bundle.', cause },
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

/**
 * The guest by the key that it has made as it first booted.
 * @param told what it has posted
 * @throws DomainError GuestUnreachable while nothing of it is known
 */
export async function learned(
  deps: Deps,
  input: GuestRef,
  told: readonly string[],
  signal: AbortSignal,
): Promise<GuestRef> {
  const { machine, access } = input;
  const hostKey =
    access.pin === 'checkin'
      ? chosenHostKey(told)
      : access.pin === 'console'
        ? await onConsole(deps, input, signal)
        : await atFirstUse(deps, input, signal);
  if (hostKey === undefined)
    throw new DomainError('GuestUnreachable', `No host key of machine ${machine.machineId} is known.`);
  return { machine, access: { ...access, ...hostKeyOf(hostKey) } };
}

async function onConsole(deps: Deps, { machine }: GuestRef, signal: AbortSignal): Promise<string> {
  const provider = providerOf(deps, machine.provider);
  const ref = await refOf(deps, machine, signal);
  for (;;) {
    const hostKey = chosenHostKey(hostKeysOn((await provider.console?.(ref, consoleBytes, signal)) ?? ''));
    if (hostKey !== undefined) return hostKey;
    await pause(lookAgainMs, signal);
    signal.throwIfAborted();
  }
}

/** Never silently: whoever answers first is taken for the machine. */
async function atFirstUse(deps: Deps, input: GuestRef, signal: AbortSignal): Promise<string> {
  const hostKey = await untilAnswered(
    (within) => deps.guests.servedKey(addressOf(deps, input), within),
    (error) => {
      const silent = error instanceof DomainError && error.type === 'GuestUnreachable';
      if (!silent && !isGivenUp(error)) throw error;
      return betweenLooksMs;
    },
    signal,
  );
  const about = { machine: input.machine.machineId, address: input.access.address, ...hostKeyOf(hostKey) };
  deps.logger.warn({ security: true, ...about }, 'a host key is trusted at its first use');
  return hostKey;
}
