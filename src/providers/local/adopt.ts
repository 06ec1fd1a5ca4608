import { bindAgain, makeMachine, removeMachine, type Ground, type Machine } from './machine.ts';
import { stopMachine } from './power.ts';
import { goOnReloading } from './renew.ts';

/** Takes over a machine that another process made, in whichever phase that process was killed. */
export async function adoptMachine(ground: Ground, machine: Machine, taken: ReadonlySet<string>): Promise<void> {
  const { record } = machine;
  if (record.phase === 'destroying') return removeMachine(ground, machine);
  if (record.phase === 'making') return makeMachine(ground, machine, taken);
  if (record.phase === 'reloading') return goOnReloading(ground, machine, async () => undefined);
  // Cut off in the middle, or started half: off is off, where the host lets it be.
  if (record.off)
    await stopMachine(ground, machine).catch((error: unknown) =>
      ground.logger.error({ error, machine: record.id }, 'a machine that was off could not be switched off again'),
    );
  await ground.tierOf(record).adopt(machine.record, () => machine.ssh?.drop());
  return bindAgain(ground, machine);
}
