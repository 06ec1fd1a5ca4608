import { condition } from '@temporalio/workflow';
import type { MachineEvent } from '../domain/machine-life.ts';
import { isOff } from '../domain/machine-power.ts';
import type { OpenMachine } from './machine-life.ts';
import { watch } from './proxies.ts';

/**
 * Until the watch has news; `interrupted` when it must begin anew, for what is news changes with the machine's power. Who
 * calls cancels what is left of it.
 * @throws what the watch fails with for good
 */
export function watched(own: OpenMachine, holder: string): Promise<MachineEvent> {
  const off = isOff(own.life);
  const news = watch.watchMachine({ ...own.guest, holder, ...(off ? { off } : {}) });
  const switched = condition(() => isOff(own.life) !== off).then((): MachineEvent => ({ type: 'interrupted' }));
  return Promise.race([news, switched]);
}
