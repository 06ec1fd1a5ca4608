import { randomBytes } from 'node:crypto';
import { DomainError } from '../../domain/failure.ts';
import type { PowerAction } from '../../domain/power.ts';
import type {
  CreateSpec,
  Identity,
  InventoryItem,
  MachineState,
  MachineView,
  OwnerTags,
  ProviderRef,
} from '../provider.ts';
import { adoptMachine } from './adopt.ts';
import { checkSpec } from './create-request.ts';
import { inTurn, makeMachine, newMachine, removeMachine, submitDestroy } from './machine.ts';
import type { Ground, Machine } from './machine.ts';
import { powerMachine } from './power.ts';
import { hasTombstone, layTombstone } from '../tombstones.ts';
import { generationOf, loadRecords } from './record.ts';
import { rekeyMachine, reloadMachine } from './renew.ts';
import type { Tier } from './tier.ts';

/** SSH of new machines. High, since 22 is taken wherever anything listens on 0.0.0.0:22. */
const defaultPort = 2_222;
const removeAgainMs = 2_000;

export interface CreateCall {
  readonly key: string;
  readonly spec: CreateSpec;
  readonly tags: OwnerTags;
}

/** All machines of one state folder, within the bounds that the knobs set. */
export interface Fleet {
  create(call: CreateCall, signal: AbortSignal): Promise<ProviderRef>;
  findByKey(key: string, installation: string): ProviderRef | undefined;
  get(ref: ProviderRef): MachineView;
  list(installation: string): readonly InventoryItem[];
  destroy(ref: ProviderRef, signal: AbortSignal): Promise<void>;
  reload(ref: ProviderRef, spec: CreateSpec, generation: number, signal: AbortSignal): Promise<void>;
  rekey(ref: ProviderRef, identity: Identity, generation: number): Promise<void>;
  power(ref: ProviderRef, action: PowerAction): Promise<void>;
  console(ref: ProviderRef, maxBytes: number): string;
  size(): number;
  /** Ends the SSH services, after changes under way; machines live on. */
  close(): Promise<void>;
}

/** @param newTier of machines that are made from now on */
export async function openFleet(ground: Ground, newTier: () => Tier): Promise<Fleet> {
  const { paths, knobs, gates, logger } = ground;
  const machines = new Map<string, Machine>();

  const taken = (): ReadonlySet<string> => new Set([...machines.values()].map(({ record }) => record.address));
  const ofKey = (key: string): Machine | undefined =>
    [...machines.values()]
      .filter(({ record }) => record.key === key)
      .sort((a, b) => a.record.createdAt.localeCompare(b.record.createdAt))[0];
  const refOf = ({ record }: Machine): ProviderRef => ({ id: record.id, key: record.key });
  const known = (ref: ProviderRef): Machine => {
    const machine = machines.get(ref['id'] ?? '');
    if (machine) return machine;
    throw new DomainError('Gone', `Provider local has no machine ${ref['id'] ?? ''}.`);
  };

  const destroyInTurn = async (machine: Machine): Promise<void> => {
    try {
      await inTurn(machine, () => removeMachine(ground, machine));
      machines.delete(machine.record.id);
      logger.info({ machine: machine.record.id }, 'machine destroyed');
    } catch (error) {
      // It stays `destroying` for all to see, and we go on.
      logger.error({ error, machine: machine.record.id }, 'a machine could not be destroyed');
      setTimeout(() => void destroyInTurn(machine), removeAgainMs).unref();
    }
  };

  const make = async ({ key, spec, tags }: CreateCall, diskMb: number): Promise<Machine> => {
    const now = knobs();
    const count = machines.size;
    if (now.quota !== undefined && count >= now.quota)
      throw new DomainError('QuotaExceeded', `Provider local has ${count} of ${now.quota} machines of its quota.`);
    if (now.capacity !== undefined && count >= now.capacity)
      throw new DomainError('CapacityUnavailable', `Provider local has room for ${now.capacity} machines, all taken.`);
    const at = Date.now();
    const machine = newMachine({
      version: 1,
      id: `m-${randomBytes(8).toString('hex')}`,
      key,
      tags,
      spec,
      tier: newTier().name,
      diskMb,
      address: '',
      port: now.port ?? defaultPort,
      createdAt: new Date(at).toISOString(),
      bootedAtMs: at + (now.bootMs ?? 0),
      phase: 'making',
    });
    machines.set(machine.record.id, machine);
    try {
      await inTurn(machine, () => makeMachine(ground, machine, taken()));
    } catch (error) {
      machine.record = { ...machine.record, phase: 'destroying' };
      await destroyInTurn(machine);
      throw error;
    }
    logger.info({ machine: machine.record.id, tags, address: machine.record.address }, 'machine made');
    return machine;
  };

  const stateOf = ({ record, ssh }: Machine): MachineState => {
    if (record.phase === 'destroying') return 'destroying';
    if (record.phase === 'making' || record.phase === 'reloading') return 'pending';
    if (!record.off && Date.now() < record.bootedAtMs) return 'pending';
    if (record.off) return 'stopped';
    if (gates.stands('boot', record.tags['slipway-machine'])) return 'pending';
    const life = ground.tierOf(record).look(record.id);
    // Its process is there and its address is not ours: only time can tell.
    return life === 'running' && !ssh ? 'unknown' : life;
  };

  const byKeyInMaking = new Map<string, Promise<Machine>>();
  for (const record of await loadRecords(paths)) machines.set(record.id, newMachine(record));
  await Promise.all(
    [...machines.values()].map(async (machine) => {
      const { id, phase } = machine.record;
      try {
        await inTurn(machine, () => adoptMachine(ground, machine, taken()));
        if (phase === 'destroying') machines.delete(id);
      } catch (error) {
        logger.error({ error, machine: id, phase }, 'a machine could not be adopted');
        // A later call goes on with a reload.
        if (phase === 'made' || phase === 'reloading') return;
        machine.record = { ...machine.record, phase: 'destroying' };
        await destroyInTurn(machine);
      }
    }),
  );

  return {
    async create(call, signal) {
      const machineId = call.tags['slipway-machine'];
      const { diskMb } = checkSpec(call.spec);
      await gates.pass('create', { machineId, when: 'before' }, signal);
      if (hasTombstone(paths.tombstones, call.key)) throw destroyedBefore(machineId);
      const making = byKeyInMaking.get(call.key) ?? ofKey(call.key);
      const made = making ?? make(call, diskMb).finally(() => byKeyInMaking.delete(call.key));
      if (made instanceof Promise && made !== making) byKeyInMaking.set(call.key, made);
      const machine = await made;
      if (machine.record.phase === 'destroying') {
        if (hasTombstone(paths.tombstones, call.key)) throw destroyedBefore(machineId);
        throw new DomainError(
          'ProviderUnavailable',
          `What a failed create of ${machineId} (local) left is being removed.`,
        );
      }
      await gates.pass('create', { machineId, when: 'after' }, signal);
      return refOf(machine);
    },

    findByKey(key, installation) {
      const machine = ofKey(key);
      return machine?.record.tags['slipway-installation'] === installation ? refOf(machine) : undefined;
    },

    get(ref) {
      const machine = machines.get(ref['id'] ?? '');
      if (!machine) return { state: 'absent' };
      const { record } = machine;
      const state = stateOf(machine);
      const tier = ground.tierOf(record);
      const facts = { tier: tier.name, ...tier.facts(record) };
      const generation = generationOf(record);
      if (state !== 'running') return { state, facts, generation };
      return { state, facts, generation, access: { address: record.address, port: record.port, user: tier.user } };
    },

    list: (installation) =>
      [...machines.values()]
        .filter(({ record }) => record.tags['slipway-installation'] === installation)
        .map((machine) => ({
          key: machine.record.key,
          ref: refOf(machine),
          tags: machine.record.tags,
          state: stateOf(machine),
          createdAt: machine.record.createdAt,
        })),

    async destroy(ref, signal) {
      const machine = machines.get(ref['id'] ?? '');
      const machineId = machine?.record.tags['slipway-machine'] ?? '';
      await gates.pass('destroy', { machineId, when: 'before' }, signal);
      if (machine && (await submitDestroy(ground, machine))) void destroyInTurn(machine);
      if (!machine && ref['key'] !== undefined) await layTombstone(paths.tombstones, ref['key']);
      await gates.pass('destroy', { machineId, when: 'after' }, signal);
    },

    async reload(ref, spec, generation, signal) {
      const machine = known(ref);
      const machineId = machine.record.tags['slipway-machine'];
      const { diskMb } = checkSpec(spec);
      const at = (when: 'before' | 'midway' | 'after') => gates.pass('reload', { machineId, when }, signal);
      await at('before');
      await reloadMachine(ground, machine, { spec, diskMb, generation }, () => at('midway'));
      await at('after');
    },

    async rekey(ref, identity, generation) {
      await rekeyMachine(ground, known(ref), identity, generation);
    },

    power: (ref, action) => powerMachine(ground, known(ref), action),

    console: (ref, maxBytes) => ground.tierOf(known(ref).record).console(known(ref).record.id, maxBytes),

    size: () => machines.size,

    async close() {
      for (const machine of machines.values()) await inTurn(machine, async () => machine.ssh?.close());
    },
  };
}

const destroyedBefore = (machineId: string): DomainError =>
  new DomainError('Gone', `Machine ${machineId} (local) was destroyed before this create arrived.`);
