import { DomainError } from '../../domain/failure.ts';
import type { CreateSpec, Identity } from '../provider.ts';
import { bindAgain, inTurn, refusal, type Ground, type Machine } from './machine.ts';
import { generationOf, saveRecord } from './record.ts';

/** Holds a reload between the old machine and the new one, for tests. */
export type Midway = () => Promise<void>;

/**
 * The machine anew, in place. Which it shall be is on disk before anything of the old one goes: whoever adopts it in the
 * middle goes on, and a second call with that generation too.
 */
export function reloadMachine(
  ground: Ground,
  machine: Machine,
  wanted: { readonly spec: CreateSpec; readonly diskMb: number; readonly generation: number },
  midway: Midway,
): Promise<void> {
  return inTurn(machine, async () => {
    mustExist(machine);
    if (generationOf(machine.record) < wanted.generation) {
      const { off: _, ...record } = machine.record;
      machine.record = { ...record, ...wanted, phase: 'reloading' };
      await saveRecord(ground.paths, machine.record);
    }
    if (machine.record.phase === 'reloading') await goOnReloading(ground, machine, midway);
  });
}

/** @throws DomainError what the host refused; a later call goes on */
export async function goOnReloading(ground: Ground, machine: Machine, midway: Midway): Promise<void> {
  const { paths, knobs } = ground;
  const tier = ground.tierOf(machine.record);
  await machine.ssh?.close();
  machine.ssh = undefined;
  await tier.destroy(machine.record);
  await midway();
  try {
    await tier.make(machine.record);
    machine.record = { ...machine.record, phase: 'made', bootedAtMs: Date.now() + (knobs().bootMs ?? 0) };
    await saveRecord(paths, machine.record);
    await tier.adopt(machine.record, () => machine.ssh?.drop());
  } catch (error) {
    throw refusal(error, machine.record);
  }
  await bindAgain(ground, machine);
  ground.logger.info({ machine: machine.record.id, generation: machine.record.generation }, 'machine reloaded');
}

/** What runs goes on; who is connected is not any more. */
export function rekeyMachine(
  ground: Ground,
  machine: Machine,
  { hostKey, authorizedKeys }: Identity,
  generation: number,
): Promise<void> {
  return inTurn(machine, async () => {
    mustExist(machine);
    if (generationOf(machine.record) >= generation) return;
    machine.record = { ...machine.record, spec: { ...machine.record.spec, hostKey, authorizedKeys }, generation };
    await saveRecord(ground.paths, machine.record);
    await machine.ssh?.close();
    machine.ssh = undefined;
    await bindAgain(ground, machine);
  });
}

export function mustExist({ record }: Machine): void {
  if (record.phase !== 'destroying') return;
  throw new DomainError('Gone', `Machine ${record.tags['slipway-machine']} (local) is being destroyed.`);
}
