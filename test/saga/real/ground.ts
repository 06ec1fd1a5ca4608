import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { turnFaults } from '../../support/faults.ts';
import { turnKnobs } from '../../support/local-knobs.ts';
import { startMachines, switches } from '../../support/static-lab.ts';

/** What the cells are done on. */
export interface Ground {
  /** The settings of a provider of that name. */
  readonly provider: (name: string) => string;
  /** Machines of that provider take a moment to show themselves. */
  readonly slow: (state: string, name: string) => void;
  readonly remove: () => Promise<void>;
}

/** Machines of tier `root`, `userns` or `plain`, as many as are wanted. */
const local: Ground = {
  provider: () => 'type: local',
  slow: (state, name) => turnKnobs(join(state, 'local', 'named', name, 'local'), { bootMs: 1_500 }),
  remove: () => Promise.resolve(),
};

/** Debian's sshd on loopback as standing machines: each provider has an inventory of its own. */
async function standing(machines: Readonly<Record<string, number>>): Promise<Ground> {
  const names = Object.keys(machines);
  const counts = Object.values(machines);
  const lab = await startMachines(counts.reduce((sum, count) => sum + count, 0));
  const fileOf = (name: string): string => join(lab.root, `${name}.yaml`);
  let next = 1;
  for (const [n, name] of names.entries()) {
    const own = Array.from({ length: counts[n] ?? 0 }, () => `box${next++}`);
    await writeFile(fileOf(name), lab.inventory({ power: switches }, own));
  }
  return {
    provider: (name) => `type: static, inventory: ${fileOf(name)}`,
    slow: (state, name) => turnFaults(state, { [name]: [{ fault: 'slow', verb: 'get', delayMs: 4_000 }] }),
    remove: lab.remove,
  };
}

/** @param machines how many each provider may need at once */
export const groundOf = (type: string, machines: Readonly<Record<string, number>>): Promise<Ground> =>
  type === 'static' ? standing(machines) : Promise.resolve(local);
