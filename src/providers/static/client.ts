import type { Logger } from 'pino';
import { DomainError } from '../../domain/failure.ts';
import type { Capabilities, MachineState, Provider } from '../provider.ts';
import { checkInventory, standingMachines, standingOf } from './check.ts';
import { createClaims, now, type Claimed } from './claims.ts';
import { inTurn } from './in-turn.ts';
import type { InventorySource } from '../../domain/inventory.ts';
import type { FindSecret } from './host-command.ts';
import { createLending } from './lending.ts';
import { createPower } from './power.ts';
import { claimOf, type MachineRecord } from './record.ts';
import { withStandingGuest } from './standing-guest.ts';
import { checkSpec } from './variant.ts';

export interface StaticProviderOptions {
  readonly name: string;
  /** Of this provider in the state folder, absolute: who has which machine. */
  readonly folder: string;
  readonly inventory: InventorySource;
  readonly secret: FindSecret;
  readonly logger?: Logger;
  /** How long a machine that is given back may be out of reach before it is taken out; 5 min. */
  readonly returnWithinMs?: number;
}

const defaultReturnWithinMs = 300_000;
const loginWithinMs = 15_000;

/**
 * Machines that stand somewhere, from an inventory: each is lent to one claim at a time, and made clean before the next.
 * Who has which is in `folder`, which any number of processes may use at once.
 */
export function createStaticProvider(options: StaticProviderOptions): Provider {
  const { name: provider, folder, inventory, secret, logger, returnWithinMs = defaultReturnWithinMs } = options;
  const claims = createClaims(folder);
  const power = inventory.good()?.power ? createPower({ claims, inventory, secret }) : undefined;
  const lending = createLending({ claims, inventory, secret, power, logger, returnWithinMs });
  const aboutKey = <T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> =>
    inTurn(`${folder}\0${key}`, signal, work);

  /** From here on it is on its way back, whoever is in the middle of taking it. */
  async function returning(name: string, key: string): Promise<Claimed | undefined> {
    for (;;) {
      const claimed = await claims.at(name, key);
      if (!claimed || claimed.value.state === 'returning') return claimed;
      await claims.change(claimed, { state: 'returning', since: now(), claim: claimed.claim });
    }
  }

  return {
    name: provider,
    capabilities: (): Capabilities => ({
      idempotentCreate: 'token',
      settleMs: 0,
      userDataMaxBytes: 0,
      power: power !== undefined,
      console: false,
      reload: false,
      rekey: false,
      standing: true,
    }),

    async create(key, spec, tags, signal) {
      const { labels, reset } = checkSpec(provider, spec);
      const { authorizedKeys } = spec;
      return aboutKey(key, signal, async () => {
        for (;;) {
          signal.throwIfAborted();
          const claim = { key, tags, createdAt: now(), authorizedKeys, reset };
          const claimed = await claims.claimFree(inventory.current(), labels, lending.passedOver(), claim);
          if (claimed.value.state === 'returning') {
            await lending.giveBack(claimed, signal);
            if (!(await claims.at(claimed.name, key))) continue;
            const message = `Machine ${claimed.name} could not be had, and is not given back yet.`;
            throw new DomainError('ProviderUnavailable', message, { hint: `slipway provider check ${provider}` });
          }
          if (await lending.take(claimed, signal)) return { machine: claimed.name, key };
        }
      });
    },

    async findByKey(key, signal) {
      signal.throwIfAborted();
      const claimed = await claims.byKey(key);
      return claimed && { machine: claimed.name, key };
    },

    async get({ machine = '', key = '' }, signal) {
      signal.throwIfAborted();
      const record = (await claims.latest(machine))?.value;
      if (record?.state === 'out' && record.claim.key === key)
        return { state: 'absent', takenOut: `${machine}: ${record.why}` };
      const claim = claimOf(record);
      if (!record || claim?.key !== key) return { state: 'absent' };
      const state = stateOf(record);
      if (state !== 'running') return { state };
      const { address, port, user, hostKey, labels } = claim.machine;
      const facts = { machine, ...labels };
      const said = await power?.status(claim.machine);
      if (said === 'off') return { state: 'stopped', facts };
      const unsure = said === undefined || said === 'on' ? {} : { power: said.unknown };
      return { state, access: { address, port, user, hostKey }, facts: { ...facts, ...unsure } };
    },

    async list(installation, signal) {
      signal.throwIfAborted();
      return [...(await claims.all())].flatMap(([name, { value }]) => {
        const claim = claimOf(value);
        if (claim?.tags['slipway-installation'] !== installation) return [];
        const { key, tags, createdAt } = claim;
        return [{ key, ref: { machine: name, key }, tags, state: stateOf(value), createdAt }];
      });
    },

    async destroy({ machine = '', key = '' }, signal) {
      // Before its turn: a create of it that is under way makes nothing new.
      await claims.endKey(key);
      await returning(machine, key);
      await aboutKey(key, signal, async () => {
        const claimed = await returning(machine, key);
        if (claimed) await lending.giveBack(claimed, signal);
      });
    },

    ...(power && {
      power: ({ machine = '', key = '' }, action, signal) =>
        aboutKey(key, signal, () => power.ask(machine, key, action, signal)),
    }),

    standing: {
      async list(signal) {
        signal.throwIfAborted();
        // Who has what is known also while the file has only mistakes.
        return standingMachines(claims, inventory.good() ?? { machines: [] });
      },
      async putBack(name, signal) {
        const latest = await claims.latest(name);
        const entry = inventory.current().machines.find((each) => each.name === name);
        if (!entry) throw new DomainError('NotFound', `Provider ${provider} has no machine ${name} in its inventory.`);
        if (latest?.value.state !== 'out')
          throw new DomainError('InvalidRequest', `Machine ${name} of provider ${provider} is not out of use.`);
        const { claim } = latest.value;
        // As the inventory has it now: its address or key may be what was mended.
        await withStandingGuest(entry, signal, async (guest) => {
          await guest.login(loginWithinMs);
          await guest.clear(claim);
        });
        const free: MachineRecord = { state: 'free', since: now() };
        if (!(await claims.change({ name, version: latest.version }, free)))
          throw new DomainError('InvalidRequest', `Machine ${name} of provider ${provider} was put back already.`);
        logger?.info({ machine: name }, 'a standing machine was put back');
        return standingOf(name, free);
      },
    },

    check: (signal) => checkInventory(claims, inventory, signal),
    async close() {
      // A connection lives for one call.
    },
  };
}

const states = { claimed: 'pending', held: 'running', returning: 'destroying' } as const;
const stateOf = (record: MachineRecord): MachineState =>
  record.state === 'free' || record.state === 'out' ? 'absent' : states[record.state];
