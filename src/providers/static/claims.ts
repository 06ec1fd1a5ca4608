import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { DomainError } from '../../domain/failure.ts';
import { fits, type Inventory, type InventoryMachine } from '../../domain/inventory.ts';
import { claimOf, type Claim, type MachineRecord } from './record.ts';
import { versionedFiles, type Versioned } from './versioned-files.ts';

/** A machine's record that is under a claim. */
export interface Claimed extends Versioned<MachineRecord> {
  readonly name: string;
  readonly claim: Claim;
  /** It was claimed by this very call: nobody can have done anything under the claim. */
  readonly fresh?: true;
}

/** What a key stands for: a machine, none yet, or none ever again. */
type KeyEntry = { readonly machine: string } | { readonly machine: null } | { readonly over: string };

type Records = ReadonlyMap<string, Versioned<MachineRecord>>;

/** Who has which machine. */
export interface Claims {
  all(): Promise<Records>;
  latest(name: string): Promise<Versioned<MachineRecord> | undefined>;
  /** The machine that is under this key's claim. */
  byKey(key: string): Promise<Claimed | undefined>;
  /** The machine of this name, while it is under this key's claim. */
  at(name: string, key: string): Promise<Claimed | undefined>;
  /**
   * One free machine that fits, for this key and nobody else. The key is bound to the first machine that was claimed for it;
   * whoever comes second lets go of what it claimed.
   * @param passedOver machines that are no use now, and why
   * @throws DomainError Gone for a key that is over; CapacityUnavailable
   */
  claimFree(
    inventory: Inventory,
    labels: Readonly<Record<string, string>>,
    passedOver: ReadonlyMap<string, string>,
    claim: Omit<Claim, 'machine'>,
  ): Promise<Claimed>;
  /** @returns false when its record has changed */
  change(claimed: Pick<Claimed, 'name' | 'version'>, record: MachineRecord): Promise<boolean>;
  /** Ends its claim, and the key may get another machine, unless it is over. @returns false when its record has changed */
  letGo(claimed: Claimed, record: MachineRecord): Promise<boolean>;
  /** Nothing is made under it any more. */
  endKey(key: string): Promise<void>;
}

/** How long a key that is over is known: no create that is under way lasts so long. */
const overKeptMs = 7 * 86_400_000;
const expireEveryMs = 3_600_000;

export const now = (): string => new Date().toISOString();

/** @param folder absolute; the provider's own */
export function createClaims(folder: string): Claims {
  const machines = versionedFiles<MachineRecord>(join(folder, 'machines'));
  const keys = versionedFiles<KeyEntry>(join(folder, 'keys'));
  const keyName = (key: string): string => createHash('sha256').update(key).digest('hex');
  let expireAtMs = 0;

  const expire = async (): Promise<void> => {
    if (performance.now() < expireAtMs) return;
    expireAtMs = performance.now() + expireEveryMs;
    for (const [name, { value }] of await keys.all())
      if ('over' in value && Date.parse(value.over) < Date.now() - overKeptMs) await keys.remove(name);
  };

  const claims: Claims = {
    all: () => machines.all(),
    latest: (name) => machines.latest(name),
    async at(name, key) {
      const latest = await machines.latest(name);
      const claim = claimOf(latest?.value);
      return latest && claim?.key === key ? { name, ...latest, claim } : undefined;
    },
    async byKey(key) {
      const entry = (await keys.latest(keyName(key)))?.value;
      const bound = entry && 'machine' in entry && entry.machine !== null ? entry.machine : undefined;
      const there = bound === undefined ? undefined : await claims.at(bound, key);
      if (there) return there;
      // Of one that died before it bound the key.
      for (const [name, latest] of await machines.all()) {
        const claim = claimOf(latest.value);
        if (claim?.key === key) return { name, ...latest, claim };
      }
      return undefined;
    },
    async claimFree(inventory, labels, passedOver, claim) {
      const { key } = claim;
      for (;;) {
        const entry = await keys.latest(keyName(key));
        if (entry && 'over' in entry.value) throw isOver(key);
        const mine = (await claims.byKey(key)) ?? (await claimOne(inventory, labels, passedOver, claim));
        if (!mine) continue;
        if (entry && 'machine' in entry.value && entry.value.machine === mine.name) return mine;
        if (await keys.replace(keyName(key), entry?.version ?? 0, { machine: mine.name })) return mine;
        // Bound meanwhile: to this machine, or another call was first with another one.
        const bound = (await keys.latest(keyName(key)))?.value;
        if (bound && 'machine' in bound && bound.machine === mine.name) return mine;
        if (mine.value.state === 'claimed')
          await machines.replace(mine.name, mine.version, { state: 'free', since: now() });
      }
    },
    change: ({ name, version }, record) => machines.replace(name, version, record),
    async letGo(claimed, record) {
      const name = keyName(claimed.claim.key);
      const entry = await keys.latest(name);
      // First: a key that is bound has its machine.
      if (entry && 'machine' in entry.value) await keys.replace(name, entry.version, { machine: null });
      return claims.change(claimed, record);
    },
    async endKey(key) {
      for (;;) {
        const entry = await keys.latest(keyName(key));
        if (entry && 'over' in entry.value) return;
        if (await keys.replace(keyName(key), entry?.version ?? 0, { over: now() })) break;
      }
      await expire();
    },
  };

  /** @returns nothing when another was quicker */
  async function claimOne(
    inventory: Inventory,
    labels: Readonly<Record<string, string>>,
    passedOver: ReadonlyMap<string, string>,
    claim: Omit<Claim, 'machine'>,
  ): Promise<Claimed | undefined> {
    const all = await machines.all();
    const machine = nextFree(inventory, labels, passedOver, all);
    if (!machine) throw noneFree(inventory, labels, passedOver, all);
    const { name } = machine;
    const before = all.get(name)?.version ?? 0;
    const value = { state: 'claimed', since: now(), claim: { ...claim, machine } } as const;
    if (!(await machines.replace(name, before, value))) return undefined;
    return { name, version: before + 1, value, claim: value.claim, fresh: true };
  }
  return claims;
}

/** The one that has rested longest. */
function nextFree(
  { machines }: Inventory,
  labels: Readonly<Record<string, string>>,
  passedOver: ReadonlyMap<string, string>,
  all: Records,
): InventoryMachine | undefined {
  const restingSince = ({ name }: InventoryMachine): string => all.get(name)?.value.since ?? '';
  return machines
    .filter((machine) => fits(machine, labels) && !passedOver.has(machine.name))
    .filter(({ name }) => (all.get(name)?.value.state ?? 'free') === 'free')
    .toSorted((a, b) => restingSince(a).localeCompare(restingSince(b)))[0];
}

function noneFree(
  { file, machines }: Inventory,
  labels: Readonly<Record<string, string>>,
  passedOver: ReadonlyMap<string, string>,
  all: Records,
): DomainError {
  const fitting = machines.filter((machine) => fits(machine, labels));
  const asked = Object.entries(labels).map(([name, value]) => `${name}=${value}`);
  const which = asked.length > 0 ? ` with ${asked.join(', ')}` : '';
  const why = fitting.map(({ name }) => {
    const record = all.get(name)?.value;
    if (record?.state === 'out') return `${name} is out of use (${record.why})`;
    if (record && record.state !== 'free') return `${name} has ${record.claim.tags['slipway-machine']}`;
    return `${name} ${passedOver.get(name) ?? 'was taken in this moment'}`;
  });
  const text = fitting.length === 0 ? 'There is no machine' : 'No machine is free';
  return new DomainError(
    'CapacityUnavailable',
    `${text}${which} in ${file}${why.length > 0 ? `: ${why.join('; ')}` : ''}.`,
  );
}

const isOver = (key: string): DomainError =>
  new DomainError('Gone', `The claim ${key} is over: its machine was given back or taken out.`);
