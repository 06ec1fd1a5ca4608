import type { PowerAction } from '../../domain/power.ts';
import { bindAgain, inTurn, refusal, type Ground, type Machine } from './machine.ts';
import { saveRecord } from './record.ts';
import { mustExist } from './renew.ts';

/**
 * That a machine is off is on disk before it is so, and until it runs again: whoever adopts it in the middle switches it off,
 * and a call that is repeated goes on.
 */
export function powerMachine(ground: Ground, machine: Machine, action: PowerAction): Promise<void> {
  return inTurn(machine, async () => {
    mustExist(machine);
    if (action !== 'on') await switchOff(ground, machine);
    if (action !== 'off') await switchOn(ground, machine);
    ground.logger.info({ machine: machine.record.id, action }, 'machine switched');
  });
}

async function switchOff(ground: Ground, machine: Machine): Promise<void> {
  machine.record = { ...machine.record, off: true };
  await saveRecord(ground.paths, machine.record);
  await machine.ssh?.close();
  machine.ssh = undefined;
  await tried(ground, machine, 'stop');
}

async function switchOn(ground: Ground, machine: Machine): Promise<void> {
  const { off, ...on } = machine.record;
  if (!off && ground.tierOf(on).look(on.id) !== 'stopped') return;
  await tried(ground, machine, 'start');
  machine.record = { ...on, bootedAtMs: Date.now() + (ground.knobs().bootMs ?? 0) };
  await saveRecord(ground.paths, machine.record);
  await bindAgain(ground, machine);
}

async function tried(ground: Ground, { record }: Machine, what: 'stop' | 'start'): Promise<void> {
  try {
    await ground.tierOf(record)[what](record);
  } catch (error) {
    throw refusal(error, record);
  }
}
