import { ApplicationFailure, condition, defineUpdate, setHandler } from '@temporalio/workflow';
import { forgetBody } from '../contract/lease.ts';
import { machineUpdates } from '../contract/messages.ts';
import { isOver, type MachinePhase, type MachineStatus } from '../domain/lease.ts';
import { invalid, mistakesOf } from './door.ts';

const forget = defineUpdate<MachineStatus, [unknown?]>(machineUpdates.forget);

/** A person may give up what cannot be destroyed, and nothing else; answered when the machine's life is over. */
export function hearForget(
  machineId: string,
  phase: () => MachinePhase,
  status: () => MachineStatus,
  forgotten: (reason: string) => void,
): void {
  const accepted = async (body?: unknown): Promise<MachineStatus> => {
    forgotten(forgetBody.parse(body).reason);
    await condition(() => isOver(phase()));
    return status();
  };
  const refuse = (body?: unknown): void => {
    const mistakes = mistakesOf(forgetBody, body);
    if (mistakes.length > 0) throw invalid(`forget: ${mistakes.join('; ')}`, mistakes);
    if (phase() === 'stuck') return;
    const message = `Machine ${machineId} is ${phase()}, not stuck: only what cannot be destroyed can be given up.`;
    throw ApplicationFailure.nonRetryable(message, 'InvalidRequest');
  };
  setHandler(forget, accepted, { validator: refuse });
}
