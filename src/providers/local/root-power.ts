import { closeSync, constants, existsSync, openSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/failure.ts';
import type { ProcessIdentity } from '../../host/process-identity.ts';
import type { MachineRecord } from './record.ts';
import { readBoot, readKeeper } from './root-boot.ts';

const withinMs = 30_000;
const lookMs = 5;

/**
 * Ends the machine's boot and leaves its keeper, which holds the disk, asleep.
 * @param kill ends what is there of a boot
 */
export async function haltBoot(
  record: MachineRecord,
  folder: string,
  kill: (boot: ProcessIdentity) => Promise<void>,
): Promise<void> {
  if (readKeeper(folder) && !existsSync(join(folder, 'power')))
    throw new DomainError('InvalidRequest', `${nameOf(record)} was made by a version that cannot switch it off.`);
  await writeFile(join(folder, 'off'), '', { mode: 0o600 });
  await until(record, 'go down', async () => {
    // Also one that is just coming up.
    const boot = readBoot(folder);
    if (boot) await kill(boot);
    return !readKeeper(folder) || existsSync(join(folder, 'halted'));
  });
}

export async function bootAgain(record: MachineRecord, folder: string): Promise<void> {
  await rm(join(folder, 'off'), { force: true });
  await until(record, 'boot', () => {
    if (!readKeeper(folder)) {
      const why = 'it was powered off from inside, and its disk went with that';
      throw new DomainError('InvalidRequest', `${nameOf(record)} cannot be switched on: ${why}.`);
    }
    if (existsSync(join(folder, 'halted'))) wake(join(folder, 'power'));
    return readBoot(folder) !== undefined;
  });
}

/** What its keeper has said of it, the end. */
export function consoleOf(folder: string, maxBytes: number): string {
  try {
    const said = readFileSync(join(folder, 'boot.log'));
    return said.subarray(Math.max(0, said.length - maxBytes)).toString();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** The keeper waits for somebody to open the pipe; nothing needs to be said. */
function wake(pipe: string): void {
  try {
    closeSync(openSync(pipe, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch (error) {
    // Nobody waits at the pipe in this moment.
    if ((error as NodeJS.ErrnoException).code !== 'ENXIO') throw error;
  }
}

async function until(record: MachineRecord, what: string, look: () => boolean | Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + withinMs; !(await look()); await pause(lookMs)) {
    if (Date.now() > deadline)
      throw new DomainError('ProviderUnavailable', `${nameOf(record)} did not ${what} within ${withinMs / 1_000} s.`);
  }
}

const nameOf = (record: MachineRecord): string => `Machine ${record.tags['slipway-machine']} (local)`;
