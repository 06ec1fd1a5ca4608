import { DomainError } from '../../domain/failure.ts';
import type { Inventory, InventoryMachine, InventorySource } from '../../domain/inventory.ts';
import type { PowerAction } from '../../domain/power.ts';
import type { Claims } from './claims.ts';
import { hostCommand, type FindSecret } from './host-command.ts';

const switchWithinMs = 60_000;
const statusWithinMs = 10_000;
/** A board that is asked for each look of each worker has little else to do. */
const statusKeptMs = 2_000;

interface PowerOptions {
  readonly claims: Claims;
  readonly inventory: InventorySource;
  readonly secret: FindSecret;
}

type PowerState = 'on' | 'off' | { readonly unknown: string };

/** Of machines whose inventory says how they are switched. */
export interface Power {
  /**
   * In the turn of its key: what is under way would hit the next claim.
   * @throws DomainError Gone for a machine that is under another claim, or on its way back from this one
   */
  ask(name: string, key: string, action: PowerAction, signal: AbortSignal): Promise<void>;
  /** @returns why it could not be done */
  on(machine: InventoryMachine, signal: AbortSignal): Promise<string | undefined>;
  /** What its status command says, whoever asked for it a moment ago; undefined without one. */
  status(machine: InventoryMachine): Promise<PowerState | undefined>;
}

export function createPower({ claims, inventory, secret }: PowerOptions): Power {
  const known = new Map<string, { readonly atMs: number; readonly state: Promise<PowerState> }>();

  const run = async (words: readonly string[], machine: InventoryMachine, signal: AbortSignal) => {
    const { failed } = await hostCommand(words, inventory.current(), machine, secret, signal, switchWithinMs);
    known.delete(machine.name);
    return failed;
  };
  const powerNow = (): NonNullable<Inventory['power']> => {
    const { power, file } = inventory.current();
    if (power) return power;
    throw new DomainError('InvalidRequest', `${file} does not say any more how a machine is switched.`);
  };

  return {
    async ask(name, key, action, signal) {
      const lent = async (): Promise<InventoryMachine> => {
        const claimed = await claims.at(name, key);
        if (claimed?.value.state === 'held') return claimed.claim.machine;
        throw new DomainError('Gone', `Machine ${name} is not lent under this claim.`);
      };
      await lent();
      const power = powerNow();
      const own = power[action];
      for (const words of own ? [own] : [power.off, power.on]) {
        // Each command takes its time: it may be on its way back since the one before.
        const failed = await run(words, await lent(), signal);
        if (failed === undefined) continue;
        const message = `Machine ${name} was not switched: ${words[0]} ${failed}`;
        throw new DomainError('ProviderUnavailable', message, { hint: `see power: in ${inventory.current().file}` });
      }
    },

    // Async, so that an inventory without it is a failed try as well.
    on: async (machine, signal) => run(powerNow().on, machine, signal),

    async status(machine) {
      const lab = inventory.current();
      const words = lab.power?.status;
      if (!words) return undefined;
      const { name } = machine;
      const before = known.get(name);
      if (before && performance.now() - before.atMs < statusKeptMs) return before.state;
      const state = asked(words, lab, machine, secret);
      known.set(name, { atMs: performance.now(), state });
      state.catch(() => known.delete(name)); // who asked hears of it
      return state;
    },
  };
}

async function asked(
  words: readonly string[],
  lab: Inventory,
  machine: InventoryMachine,
  secret: FindSecret,
): Promise<PowerState> {
  // It is for all who ask: none of them ends it.
  const { signal } = new AbortController();
  const { failed, out } = await hostCommand(words, lab, machine, secret, signal, statusWithinMs);
  if (failed !== undefined) return { unknown: `its status command ${failed}` };
  const word = out.trim().split(/\s+/).at(-1)?.toLowerCase();
  return word === 'on' || word === 'off' ? word : { unknown: 'its status command says neither on nor off' };
}
