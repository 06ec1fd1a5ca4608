import { isOver } from './lease.ts';
import type { MachineInput, MachineLife } from './machine.ts';

/** `step`: what the last step that said anything wrote. `cloudInit`: its status and the end of its log. */
export const evidenceKinds = ['console', 'cloudInit', 'step'] as const;
export type EvidenceKind = (typeof evidenceKinds)[number];

/** Where it lies what a machine that failed had to say; the texts are in the output store. */
export interface Evidence {
  readonly what: EvidenceKind;
  /** Of the machine, from 1. */
  readonly generation: number;
  readonly bytes: number;
  /** From 0; of a `step`. */
  readonly step?: number;
}

/** Of each kind, the end of it. */
export const evidenceBytes = 65_536;
/** All of it: what does not come within that is left, for the machine is to go. */
export const evidenceWithinMs = 5_000;

/** Pure: it failed, or was lost, there is something to be asked, and nobody has asked yet. */
export function isWitness({ key }: MachineInput, life: MachineLife): boolean {
  const failed = life.cause === 'failed' || life.cause === 'lost';
  const made = life.debts.some((debt) => debt.key === key && debt.ref !== undefined);
  return failed && made && life.evidence === undefined && !isOver(life.phase);
}

/** The step that wrote last, or is to be looked before. */
export const lastStepOf = ({ failedStep, nextStep }: MachineLife): number => failedStep?.step ?? nextStep - 1;
