import { readFile, writeFile } from 'node:fs/promises';
import type { Logger } from 'pino';
import { DomainError } from '../../domain/failure.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { addressAt, addressCount, candidates } from './addresses.ts';
import type { GateKeeper } from './gates.ts';
import type { Knobs } from './knobs.ts';
import type { LocalPaths } from './local-paths.ts';
import { layTombstone } from '../tombstones.ts';
import { layRecord, removeRecord, saveRecord, type MachineRecord } from './record.ts';
import { startSshService, type SshService } from './ssh-service.ts';
import type { Tier } from './tier.ts';

/** One change at a time: each waits for the one before, whatever came of it. */
interface Turns {
  last: Promise<unknown>;
}

/** What all machines of one process share. */
export interface Ground {
  /** Addresses are given one after the other: two at once would read one `nextAddress`, and write it in any order. */
  readonly addresses: Turns;
  readonly paths: LocalPaths;
  readonly tierOf: (record: MachineRecord) => Tier;
  readonly knobs: () => Knobs;
  readonly gates: GateKeeper;
  readonly logger: Logger;
}

/** One machine in the hands of this process. */
export interface Machine extends Turns {
  record: MachineRecord;
  ssh: SshService | undefined;
}

export const newTurns = (): Turns => ({ last: Promise.resolve() });

export const newMachine = (record: MachineRecord): Machine => ({ record, ssh: undefined, ...newTurns() });

export function inTurn<T>(turns: Turns, change: () => Promise<T>): Promise<T> {
  const next = turns.last.then(change, change);
  turns.last = next.catch(() => undefined);
  return next;
}

/** How often a port that another process has is tried again, after this process has adopted the machine. */
const bindAgainMs = 200;

/**
 * Binds an address that nobody has, records it, makes the machine.
 * @throws DomainError what the host refused; what is there by then is the caller's to remove
 */
export async function makeMachine(ground: Ground, machine: Machine, taken: ReadonlySet<string>): Promise<void> {
  const { paths } = ground;
  try {
    await inTurn(ground.addresses, () => bindFreeAddress(ground, machine, taken));
    await layRecord(paths, machine.record);
    const tier = ground.tierOf(machine.record);
    await tier.make(machine.record);
    machine.record = { ...machine.record, phase: 'made' };
    await saveRecord(paths, machine.record);
    await tier.adopt(machine.record, () => machine.ssh?.drop());
  } catch (error) {
    throw refusal(error, machine.record);
  }
}

/** SSH on the machine's own address, as its record says. */
export async function bindAgain(ground: Ground, machine: Machine): Promise<void> {
  if (machine.record.phase !== 'made' || machine.record.off) return;
  try {
    machine.ssh = await startSsh(ground, machine);
  } catch (error) {
    if (!isTaken(error)) throw error;
    ground.logger.error({ machine: machine.record.id, error }, 'the address of a machine is taken');
    setTimeout(() => {
      inTurn(machine, () => bindAgain(ground, machine)).catch((again: unknown) =>
        ground.logger.error({ machine: machine.record.id, error: again }, 'a machine is without SSH'),
      );
    }, bindAgainMs).unref();
  }
}

/**
 * A destroy counts from here on: it is on disk, and no late create of the same key makes the machine again.
 * @returns false when that was so already
 */
export function submitDestroy(ground: Ground, machine: Machine): Promise<boolean> {
  const { paths, logger } = ground;
  return inTurn(machine, async () => {
    const first = machine.record.phase !== 'destroying';
    machine.record = { ...machine.record, phase: 'destroying' };
    try {
      await layTombstone(paths.tombstones, machine.record.key);
      if (first) await saveRecord(paths, machine.record);
    } catch (error) {
      // Nothing can be written, but what takes the room can be freed.
      if (!isFull(error)) throw error;
      logger.error({ error, machine: machine.record.id }, 'a destroy could not be recorded');
    }
    return first;
  });
}

export async function removeMachine(ground: Ground, machine: Machine): Promise<void> {
  await machine.ssh?.close();
  machine.ssh = undefined;
  await ground.tierOf(machine.record).destroy(machine.record);
  await removeRecord(ground.paths, machine.record.id);
}

async function bindFreeAddress(ground: Ground, machine: Machine, taken: ReadonlySet<string>): Promise<void> {
  const { paths, knobs } = ground;
  const text = (await readFile(paths.nextAddress, 'utf8').catch(noneIfMissing)) ?? '';
  const next = /^\d+\n$/.test(text) ? Number(text) : undefined;
  const reuse = knobs().addressReuse === true;
  for (const index of candidates(paths.folder, next, reuse, taken)) {
    machine.record = { ...machine.record, address: addressAt(index) };
    try {
      machine.ssh = await startSsh(ground, machine);
    } catch (error) {
      if (isTaken(error)) continue;
      throw error;
    }
    // A loss of power loses all machines too: no reason to wait for the disk.
    if (!reuse) await writeFile(paths.nextAddress, `${(index + 1) % addressCount}\n`, { mode: 0o600 });
    return;
  }
  throw new DomainError('CapacityUnavailable', 'Provider local has no free address in 127.77.0.0/16.');
}

function startSsh(ground: Ground, machine: Machine): Promise<SshService> {
  const tier = ground.tierOf(machine.record);
  return startSshService({
    record: machine.record,
    tier,
    knobs: ground.knobs,
    gates: ground.gates,
    isUp: () => Date.now() >= machine.record.bootedAtMs && tier.look(machine.record.id) === 'running',
    logger: ground.logger,
  });
}

const isTaken = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'EADDRINUSE';

const isFull = (error: unknown): boolean => ['ENOSPC', 'EDQUOT'].includes((error as NodeJS.ErrnoException).code ?? '');

export function refusal(error: unknown, record: MachineRecord, done: 'made' | 'switched' = 'made'): unknown {
  const { code } = error as NodeJS.ErrnoException;
  if (error instanceof DomainError || code === undefined) return error;
  const why = isFull(error) ? 'the disk of the state folder is full' : (error as Error).message;
  return new DomainError(
    'ProviderUnavailable',
    `Machine ${record.tags['slipway-machine']} (local) was not ${done}: ${why}.`,
    { hint: 'slipway provider check local', cause: error },
  );
}
