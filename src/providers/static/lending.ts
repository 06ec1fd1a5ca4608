import type { Logger } from 'pino';
import { DomainError } from '../../domain/failure.ts';
import { now, type Claimed, type Claims } from './claims.ts';
import type { InventorySource } from '../../domain/inventory.ts';
import { mismatchEvent } from '../../guest/mismatch-event.ts';
import { hostCommand, type FindSecret } from './host-command.ts';
import type { Power } from './power.ts';
import { withStandingGuest } from './standing-guest.ts';
import type { MachineRecord } from './record.ts';

export interface LendingOptions {
  readonly claims: Claims;
  readonly inventory: InventorySource;
  readonly secret: FindSecret;
  /** Where its inventory says how machines are switched. */
  readonly power: Power | undefined;
  readonly logger?: Logger | undefined;
  /** How long a machine that is given back may be out of reach before it is taken out. */
  readonly returnWithinMs: number;
}

/** What is done on machines when they come under a claim and when they leave it. Each step may be cut and done again. */
export interface Lending {
  /** Machines that could not be had a moment ago, and why. */
  passedOver(): ReadonlyMap<string, string>;
  /** Makes the claimed machine the claim's own. @returns false when it cannot be had: then it is let go, all undone */
  take(claimed: Claimed, signal: AbortSignal): Promise<boolean>;
  /** Makes it clean, and proves it; out of reach it stays as it is, for a later call, and in the end it is taken out. */
  giveBack(claimed: Claimed, signal: AbortSignal): Promise<void>;
}

/** A machine that could not be had is left alone for so long. */
const passOverMs = 30_000;
/** What does not let us in within so long is out of reach. */
const loginWithinMs = 15_000;
/** From the end of the command for it until a machine that is made anew must let us in. */
const reloadWithinMs = 600_000;
/** Of what a reset could not take away. */
const shownLeft = 3;

export function createLending({ claims, logger, returnWithinMs, inventory, secret, power }: LendingOptions): Lending {
  const silent = new Map<string, { readonly untilMs: number; readonly why: string }>();

  async function takeOut(claimed: Claimed, why: string): Promise<void> {
    const { name, claim } = claimed;
    if (!(await claims.letGo(claimed, { state: 'out', since: now(), why, claim }))) return;
    logger?.error({ machine: name, was: claim.tags['slipway-machine'], why }, 'a standing machine was taken out');
  }

  /** Somebody else answers: nobody is to be sent there. */
  async function mistaken(claimed: Claimed, error: DomainError): Promise<void> {
    mismatchEvent(logger, { machine: claimed.name, error: error.message });
    await takeOut(claimed, error.message);
  }

  const passOver = (name: string, why: string): void => {
    silent.set(name, { untilMs: Date.now() + passOverMs, why });
    logger?.warn({ machine: name, why }, 'a standing machine was passed over');
  };

  const lending: Lending = {
    passedOver() {
      const still = [...silent].filter(([, { untilMs }]) => untilMs > Date.now());
      return new Map(still.map(([name, { why }]) => [name, why]));
    },

    async take(claimed, signal) {
      const { name, claim } = claimed;
      if (claimed.value.state === 'held') return true;
      let reached = false;
      try {
        const known = await withStandingGuest(claim.machine, signal, async (guest) => {
          const { bootId } = await guest.login(loginWithinMs);
          reached = true;
          return { bootId, baseline: await guest.take(claim) };
        });
        const held: MachineRecord = { state: 'held', since: now(), claim: { ...claim, ...known } };
        if (await claims.change(claimed, held)) return true;
        throw new DomainError('Gone', `Machine ${name} was given back while it was taken.`);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof DomainError) || error.type === 'Gone') throw error;
        if (error.type === 'HostKeyMismatch') {
          await mistaken(claimed, error);
          throw error;
        }
        if (error.details?.['code'] === 'stale') {
          await takeOut(claimed, error.message);
          return false;
        }
        passOver(name, error.message);
        const untouched = claimed.fresh === true && (!reached || error.type === 'CapacityUnavailable');
        // Else it is undone by whoever has the record then.
        if (untouched) await claims.letGo(claimed, { state: 'free', since: now() });
        else await claims.change(claimed, { state: 'returning', since: now(), claim, why: error.message });
        return false;
      }
    },

    async giveBack(given, signal) {
      const { claim } = given;
      // Read here: with only mistakes in it, it says nothing of the machine.
      const { resetCommands } = inventory.current();
      if (given.value.state === 'returning' && given.value.reload)
        return reloaded(given, given.value, given.value.reload, signal);
      const off = (await power?.status(claim.machine)) === 'off';
      const claimed = (off && (await switchedOn(given, 'it was off', signal))) || given;
      const { value } = claimed;
      try {
        const left = await withStandingGuest(claim.machine, signal, async (guest) => {
          await guest.login(loginWithinMs);
          return guest.giveBack(claim, resetCommands);
        });
        if (left.length === 0) return await backInUse(claimed);
        const more = left.length > shownLeft ? ` and ${left.length - shownLeft} more` : '';
        await unclean(claimed, `its reset left something: ${left.slice(0, shownLeft).join(', ')}${more}`);
      } catch (error) {
        signal.throwIfAborted();
        if (!(error instanceof DomainError)) throw error;
        if (error.type === 'HostKeyMismatch') return mistaken(claimed, error);
        if (!isOutOfReach(error)) return unclean(claimed, `it could not be reset: ${error.message}`);
        if (await switchedOn(claimed, 'it did not answer', signal)) return;
        const since = (value.state === 'returning' ? value.switchedOn : undefined) ?? value.since;
        if (Date.now() - Date.parse(since) > returnWithinMs)
          return unclean(claimed, `it could not be reached for its reset: ${error.message}`);
        await noteWhy(claimed, error.message);
      }
    },
  };

  /**
   * Where its operator says how, once: it cannot be made clean while it is off.
   * @returns as it is known now; undefined when it was not to be done
   */
  async function switchedOn(claimed: Claimed, because: string, signal: AbortSignal): Promise<Claimed | undefined> {
    const { value: before, claim } = claimed;
    if (before.state !== 'returning' || before.switchedOn !== undefined || !power) return undefined;
    const failed = await power.on(claim.machine, signal).catch((error: unknown) => {
      // Its inventory may not say any more how: then it is as one that cannot be switched.
      if (error instanceof DomainError) return `could not be asked for: ${error.message}`;
      throw error;
    });
    const why = failed === undefined ? `${because}, and was switched on` : `${because}, and its power ${failed}`;
    const value = { ...before, why, switchedOn: now() };
    return (await claims.change(claimed, value)) ? { ...claimed, value, version: claimed.version + 1 } : undefined;
  }

  const backInUse = async (claimed: Claimed): Promise<void> => {
    await claims.letGo(claimed, { state: 'free', since: now() });
  };

  /** Made anew by its operator's command, at the next call, where there is one. */
  async function unclean(claimed: Claimed, why: string): Promise<void> {
    if (inventory.current().reload === undefined || claimed.value.state !== 'returning') return takeOut(claimed, why);
    logger?.warn({ machine: claimed.name, why }, 'a standing machine is to be made anew');
    await claims.change(claimed, { ...claimed.value, why, reload: { since: now() } });
  }

  /** The command once, as far as anybody knows; then until the machine shows that it is another system. */
  async function reloaded(
    claimed: Claimed,
    value: Extract<MachineRecord, { state: 'returning' }>,
    reload: NonNullable<typeof value.reload>,
    signal: AbortSignal,
  ): Promise<void> {
    const { claim } = claimed;
    const lab = inventory.current();
    if (reload.at === undefined) {
      if (!lab.reload) return takeOut(claimed, value.why ?? 'it was to be made anew, and no command says how');
      const { failed } = await hostCommand(lab.reload, lab, claim.machine, secret, signal);
      if (failed !== undefined) return takeOut(claimed, `${value.why ?? ''}; and its reload ${failed}`);
      await claims.change(claimed, { ...value, reload: { ...reload, at: now() } });
      return;
    }
    let still = 'it is the same system still';
    try {
      const isNew = await withStandingGuest(claim.machine, signal, async (guest) => {
        const { bootId } = await guest.login(loginWithinMs);
        // A tenant may have taken our mark off, but booted nothing.
        return bootId !== claim.bootId && (await guest.isNew(claim));
      });
      if (isNew) return await backInUse(claimed);
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DomainError)) throw error;
      if (error.type === 'HostKeyMismatch') return mistaken(claimed, error);
      still = error.message;
    }
    // A system that comes up may refuse us for a while, in any way.
    if (Date.now() - Date.parse(reload.at) > reloadWithinMs)
      await takeOut(claimed, `${value.why ?? ''}; and its reload came to nothing: ${still}`);
  }

  /** For people; each note is a version, so only what is new is noted. */
  async function noteWhy(claimed: Claimed, why: string): Promise<void> {
    if (claimed.value.state !== 'returning' || claimed.value.why === why) return;
    await claims.change(claimed, { ...claimed.value, why });
  }
  return lending;
}

const isOutOfReach = ({ type }: DomainError): boolean => type === 'GuestUnreachable' || type === 'ProviderAuthRefused';
