import { readFileSync, statSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { z } from 'zod';
import { inventoryFile } from '../contract/inventory.ts';
import type { Inventory, InventoryMachine, InventorySource } from '../domain/inventory.ts';
import { pathFrom } from './path-from.ts';
import { checkYaml, mistakesFailure, mistakeText, type Mistake } from './yaml-mistakes.ts';

const sshPort = 22;

/** The inventory of a `static` provider as it stands now: read again only when it changed. @param file absolute */
export function inventoryAt(file: string): InventorySource {
  let stamp = '';
  let good: Inventory | undefined;
  let mistakes: readonly Mistake[] = [];
  const look = (): void => {
    const now = stampOf(file);
    if (now === stamp) return;
    const checked = load(file);
    if (checked.ok) good = inventoryOf(file, checked.value);
    mistakes = checked.ok ? [] : checked.mistakes;
    stamp = now;
  };
  return {
    current() {
      look();
      if (good) return good;
      throw mistakesFailure(`${basename(file)} has`, mistakes, `Mend ${file}.`);
    },
    good() {
      look();
      return good;
    },
    mistakes() {
      look();
      return mistakes.map(mistakeText);
    },
  };
}

/** Tells any change, also one within the same millisecond and one of the same size. */
function stampOf(file: string): string {
  const found = statSync(file, { bigint: true, throwIfNoEntry: false });
  return found === undefined ? 'absent' : [found.ino, found.size, found.mtimeNs, found.ctimeNs].join(':');
}

function load(file: string) {
  try {
    return checkYaml(file, readFileSync(file, 'utf8'), inventoryFile);
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    const message = code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`;
    return { ok: false, mistakes: [{ file, line: 1, col: 1, path: '', message }] } as const;
  }
}

function inventoryOf(file: string, given: z.output<typeof inventoryFile>): Inventory {
  const machines = Object.entries(given.machines).map(([name, machine]): InventoryMachine => {
    const { address, port = sshPort, user = given.user ?? '', labels = {} } = machine;
    const [type = '', blob = ''] = machine.hostKey.split(' ');
    const identityFile = pathFrom(dirname(file), machine.identityFile ?? given.identityFile ?? '');
    return { name, address, port, user, hostKey: `${type} ${blob}`, identityFile, labels };
  });
  return {
    file,
    machines,
    resetCommands: given.resetCommands ?? [],
    ...(given.reload ? { reload: given.reload } : {}),
    ...(given.power ? { power: given.power } : {}),
    ...(given.secretEnv ? { secretEnv: given.secretEnv } : {}),
  };
}
