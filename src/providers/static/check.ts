import type { CheckItem, ProviderCheck } from '../provider.ts';
import type { Claims } from './claims.ts';
import type { InventoryMachine, InventorySource, StandingMachine } from '../../domain/inventory.ts';
import type { MachineRecord } from './record.ts';
import { withStandingGuest } from './standing-guest.ts';

const loginWithinMs = 5_000;

/** Every machine of the inventory and, until they are given back, those that are in it no more. */
export async function standingMachines(
  claims: Claims,
  { machines }: { readonly machines: readonly InventoryMachine[] },
): Promise<readonly StandingMachine[]> {
  const all = await claims.all();
  const names = new Set(machines.map(({ name }) => name));
  const beyond = [...all].filter(([name, { value }]) => !names.has(name) && value.state !== 'free');
  return [...names, ...beyond.map(([name]) => name)].map((name) => standingOf(name, all.get(name)?.value));
}

const words = { free: 'free', claimed: 'taken', held: 'taken', returning: 'returning', out: 'out' } as const;

export function standingOf(name: string, record: MachineRecord | undefined): StandingMachine {
  if (!record) return { name, state: 'free' };
  const why = 'why' in record ? record.why : undefined;
  return {
    name,
    state: words[record.state],
    since: record.since,
    ...('claim' in record ? { machineId: record.claim.tags['slipway-machine'] } : {}),
    ...(why === undefined ? {} : { why }),
  };
}

/** Each free machine is logged in to, all at once. */
export async function checkInventory(
  claims: Claims,
  source: InventorySource,
  signal: AbortSignal,
): Promise<ProviderCheck> {
  const wrong = source.mistakes().map((text): CheckItem => ({ name: 'inventory', ok: false, text }));
  const inventory = source.current();
  const machines = await standingMachines(claims, inventory);
  const items = await Promise.all(
    machines.map((machine) => {
      const entry = inventory.machines.find(({ name }) => name === machine.name);
      return machine.state === 'free' && entry ? tried(entry, signal) : Promise.resolve(told(machine));
    }),
  );
  const count = (state: StandingMachine['state']): number => machines.filter((each) => each.state === state).length;
  const returning = count('returning') > 0 ? `, ${count('returning')} on the way back` : '';
  const out = count('out') > 0 ? `, ${count('out')} out of use` : '';
  return {
    ok: [...wrong, ...items].every(({ ok }) => ok),
    summary: `${machines.length} machines: ${count('free')} free, ${count('taken')} taken${returning}${out}`,
    items: [...wrong, ...items],
  };
}

function told({ name, state, since = '', machineId = '', why }: StandingMachine): CheckItem {
  const because = why === undefined ? '' : `: ${why}`;
  const text = {
    free: 'free',
    taken: `has ${machineId} since ${since}`,
    returning: `is made clean after ${machineId} since ${since}${because}`,
    out: `out of use since ${since}, after ${machineId}${because}`,
  }[state];
  return { name, ok: state !== 'out', text };
}

async function tried(entry: InventoryMachine, signal: AbortSignal): Promise<CheckItem> {
  const { name, user, address, port } = entry;
  try {
    await withStandingGuest(entry, signal, (guest) => guest.login(loginWithinMs));
    return { name, ok: true, text: `free · ${user}@${address} port ${port} lets us in` };
  } catch (error) {
    signal.throwIfAborted();
    return { name, ok: false, text: `free, and of no use: ${error instanceof Error ? error.message : String(error)}` };
  }
}
