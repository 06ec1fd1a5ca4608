import { bindAgain, makeMachine, removeMachine, type Ground, type Machine } from './machine.ts';
import { goOnReloading } from './renew.ts';

/** Takes over a machine that another process made, in whichever phase that process was killed. */
export async function adoptMachine(ground: Ground, machine: Machine, taken: ReadonlySet<string>): Promise<void> {
  const { record } = machine;
  if (record.phase === 'destroying') return removeMachine(ground, machine);
  if (record.phase === 'making') return makeMachine(ground, machine, taken);
  if (record.phase === 'reloading') return goOnReloading(ground, machine, async () => undefined);
  // Cut off in the middle, or started half: off is off.
  if (record.off) await ground.tierOf(record).stop(record);
  await ground.tierOf(record).adopt(record, () => machine.ssh?.drop());
  return bindAgain(ground, machine);
}
