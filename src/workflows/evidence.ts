import { isCancellation, patched } from '@temporalio/workflow';
import { isWitness, lastStepOf } from '../domain/evidence.ts';
import type { MachineEvent } from '../domain/machine-life.ts';
import type { OpenMachine } from './machine-life.ts';
import { witness } from './proxies.ts';

/** What a failed machine has to say is asked before it goes, or while it is kept for a look; then its phase goes on. */
export function afterEvidence(own: OpenMachine, work: () => Promise<MachineEvent>): Promise<MachineEvent> {
  return isWitness(own.input, own.life) && patched('a machine that failed is asked why') ? asked(own) : work();
}

async function asked(own: OpenMachine): Promise<MachineEvent> {
  const { life, ref } = own;
  const lastStep = lastStepOf(life);
  try {
    const { evidence } = await witness.gatherEvidence({
      machine: ref,
      ...(life.access ? { access: life.access } : {}),
      lastStep,
    });
    return { type: 'witnessed', evidence };
  } catch (error) {
    // It says nothing then; it must go all the same.
    return isCancellation(error) ? { type: 'interrupted' } : { type: 'witnessed', evidence: [] };
  }
}
