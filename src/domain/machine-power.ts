import type { MachinePhase } from './lease.ts';
import type { MachineInput, MachineLife } from './machine.ts';
import type { PowerAction } from './power.ts';

/** What somebody asked of a machine's power. */
export interface PowerOrder {
  readonly action: PowerAction;
  readonly atMs: number;
  /** Who asked, as the API knows its callers. */
  readonly by?: string;
}

export type PowerEvent =
  | { readonly type: 'powering'; readonly order: PowerOrder }
  | { readonly type: 'powered' }
  /** `refused`: nothing was done; else nobody knows. */
  | { readonly type: 'powerFailed'; readonly refused: boolean };

/**
 * A machine is there, and somebody has it or is on the way to. One that comes up must run to get any further; a warm one is
 * nobody's, and one that is made clean must hold still.
 */
const powerable: ReadonlySet<MachinePhase> = new Set(['waiting', 'customizing', 'readying', 'ready', 'held']);

/** Why a machine's power is left alone now; undefined when it may be asked for. */
export function powerless({ phase }: MachineLife): string | undefined {
  if (powerable.has(phase)) return undefined;
  if (phase === 'warm') return 'nobody leases it; slipway pool drain takes its pool down';
  return 'its power is left alone in this phase';
}

/** Switched off, or about to be, if only in a reset: that it is down and silent is no news. Pure, as all here. */
export const isOff = ({ power, powering }: MachineLife): boolean =>
  power?.action === 'off' || (powering !== undefined && powering.action !== 'on');

/** It changes no phase: what becomes of the machine is seen, not told. */
export function powered(input: MachineInput, life: MachineLife, event: PowerEvent): MachineLife {
  const { powering, ...rest } = life;
  switch (event.type) {
    case 'powering':
      return { ...life, powering: event.order };
    case 'powered':
      return powering ? { ...tainted(input, rest, powering), power: powering } : life;
    case 'powerFailed':
      return powering && !event.refused ? tainted(input, rest, powering) : rest;
  }
}

/** What a pool's machine did when its power went is not known for sure. */
function tainted({ pool }: MachineInput, life: MachineLife, { action, by }: PowerOrder): MachineLife {
  if (!pool || !life.lease || action === 'on' || life.taint !== undefined) return life;
  const who = by === undefined ? '' : ` by ${by}`;
  return { ...life, taint: action === 'off' ? `it was switched off${who}` : `it was reset${who}` };
}
