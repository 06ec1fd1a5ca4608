import { renameSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import type { Gates, Knobs } from './knobs.ts';

export type GateName = 'create' | 'destroy' | 'reload' | 'boot' | 'login' | 'exec';

/** Machine ids that wait at each gate. */
export type Held = Readonly<Record<GateName, readonly string[]>>;

/** How soon an opened gate is noticed. */
const lookMs = 10;

/** Holds what the knobs name until they no longer do, and tells in a file who waits. */
export interface GateKeeper {
  /** @throws the signal's reason when whoever waits is gone */
  pass(gate: GateName, at: GateMoment, signal: AbortSignal): Promise<void>;
  /** For what does not wait in a call: says whether the gate stands, and shows the machine as held while it does. */
  stands(gate: GateName, machineId: string): boolean;
}

export interface GateMoment {
  readonly machineId: string;
  readonly when?: 'before' | 'midway' | 'after';
  readonly command?: string;
}

export function createGateKeeper(heldPath: string, knobs: () => Knobs): GateKeeper {
  const held: Record<GateName, string[]> = { create: [], destroy: [], reload: [], boot: [], login: [], exec: [] };
  // Renamed into place, since tests read it while we write.
  const tell = (): void => {
    writeFileSync(`${heldPath}.part`, `${JSON.stringify(held satisfies Held)}\n`, { mode: 0o600 });
    renameSync(`${heldPath}.part`, heldPath);
  };
  return {
    async pass(gate, at, signal) {
      if (!isShut(knobs().gates, gate, at)) return;
      held[gate].push(at.machineId);
      tell();
      try {
        while (isShut(knobs().gates, gate, at)) await pause(lookMs, undefined, { signal });
      } finally {
        held[gate].splice(held[gate].indexOf(at.machineId), 1);
        tell();
      }
    },
    stands(gate, machineId) {
      const shut = isShut(knobs().gates, gate, { machineId });
      const index = held[gate].indexOf(machineId);
      if (shut && index < 0) held[gate].push(machineId);
      else if (!shut && index >= 0) held[gate].splice(index, 1);
      if (shut !== index >= 0) tell();
      return shut;
    },
  };
}

function isShut(gates: Gates | undefined, gate: GateName, at: GateMoment): boolean {
  const set = gates?.[gate];
  if (gates === undefined || set === undefined || set === false) return false;
  if (typeof set === 'string' && set !== at.when) return false;
  if (gates.machine !== undefined && !new RegExp(gates.machine).test(at.machineId)) return false;
  return gate !== 'exec' || gates.command === undefined || new RegExp(gates.command).test(at.command ?? '');
}
