import type { PowerAction } from '../../domain/power.ts';
import { bindAgain, inTurn, refusal, type Ground, type Machine } from './machine.ts';
import { saveRecord, type MachineRecord } from './record.ts';
import { mustExist } from './renew.ts';

/**
 * That a machine is off is on disk before it is so, and until it runs again: whoever adopts it in the middle switches it off,
 * and a call that is repeated goes on. One whose host refuses runs on, and is not recorded as off.
 */
export function powerMachine(ground: Ground, machine: Machine, action: PowerAction): Promise<void> {
  return inTurn(machine, async () => {
    mustExist(machine);
    try {
      if (action !== 'on') await switchOff(ground, machine);
      if (action !== 'off') await switchOn(ground, machine);
    } catch (error) {
      throw refusal(error, machine.record, 'switched');
    }
    ground.logger.info({ machine: machine.record.id, action }, 'machine switched');
  });
}

/** @throws what the host refused; the machine is recorded as it stands then */
export async function stopMachine(ground: Ground, machine: Machine): Promise<void> {
  const tier = ground.tierOf(machine.record);
  try {
    await tier.stop(machine.record);
  } catch (error) {
    const { off: _, ...on } = machine.record;
    if (tier.look(on.id) !== 'stopped') await become(ground, machine, on);
    throw error;
  }
}

async function switchOff(ground: Ground, machine: Machine): Promise<void> {
  await become(ground, machine, { ...machine.record, off: true });
  await machine.ssh?.close();
  machine.ssh = undefined;
  try {
    await stopMachine(ground, machine);
  } catch (error) {
    await bindAgain(ground, machine);
    throw error;
  }
}

async function switchOn(ground: Ground, machine: Machine): Promise<void> {
  const tier = ground.tierOf(machine.record);
  const { off, ...on } = machine.record;
  // Pending may also be one that went down after its host had seemed to refuse.
  if (!off && tier.look(on.id) === 'running') return;
  await tier.start(on);
  await become(ground, machine, { ...on, bootedAtMs: Date.now() + (ground.knobs().bootMs ?? 0) });
  await bindAgain(ground, machine);
}

/** What cannot be written is not so. */
async function become(ground: Ground, machine: Machine, record: MachineRecord): Promise<void> {
  await saveRecord(ground.paths, record);
  machine.record = record;
}
