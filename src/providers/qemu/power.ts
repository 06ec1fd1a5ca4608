import { join } from 'node:path';
import type { PowerAction } from '../../domain/power.ts';
import { inFolder } from './arguments.ts';
import { isGone, nameOf, startMachine, withMachine, type Ground } from './machines.ts';
import { endQemu, findQemu } from './process.ts';
import { withQmp } from './qmp.ts';
import { loadRecord, machineFolder, saveRecord } from './record.ts';

/**
 * As the switch of a machine: the guest is not asked. A reset of one that is off switches it on.
 * @throws DomainError Gone, ProviderUnavailable
 */
export function powerMachine(ground: Ground, id: string, action: PowerAction, signal: AbortSignal): Promise<void> {
  const { paths } = ground;
  const folder = machineFolder(paths, id);
  return withMachine(ground, id, signal, async () => {
    const record = await loadRecord(paths, id);
    if (!record || record.phase === 'destroying') throw isGone(id);
    // What is being made has no power yet, and will have it.
    if (record.phase === 'making') return;
    signal.throwIfAborted();
    if (action === 'off') {
      await saveRecord(paths, { ...record, phase: 'off' });
      await endQemu(nameOf(id), folder);
    } else if (record.phase === 'off' || (await findQemu(nameOf(id), folder)) === undefined) {
      // Whoever switched it on or off may have died over it: what runs is not what the record tells of.
      await endQemu(nameOf(id), folder);
      await startMachine(ground, record, false);
    } else if (action === 'reset') {
      await withQmp(join(folder, inFolder.qmp), signal, async (qmp) => {
        await qmp.execute('system_reset');
        // One that stood still for an error of its disk or of its kernel goes on with the reset only.
        await qmp.execute('cont');
      });
    }
  });
}
