import { ApplicationFailure, CancellationScope, defineUpdate, setHandler } from '@temporalio/workflow';
import type { MachineRef } from '../activities/activities.ts';
import { machinePowerBody } from '../contract/lease.ts';
import { machineUpdates } from '../contract/messages.ts';
import type { MachineStatus } from '../domain/lease.ts';
import { powerless, type PowerEvent } from '../domain/machine-power.ts';
import type { MachineInput, MachineLife } from '../domain/machine.ts';
import { invalid, mistakesOf } from './door.ts';
import { failureOf, reasonOf } from './failures.ts';
import { power } from './proxies.ts';

const powerUpdate = defineUpdate<MachineStatus, [unknown]>(machineUpdates.power);

interface Powered {
  readonly input: MachineInput;
  readonly life: () => MachineLife;
  readonly ref: () => MachineRef;
  readonly status: () => MachineStatus;
  readonly apply: (event: PowerEvent) => void;
}

export interface PowerDesk {
  readonly busy: () => boolean;
  /** Resolves when what was asked for is answered. */
  readonly settled: () => Promise<unknown>;
}

/**
 * What is asked of a machine's power, one after the other, beside what the machine does. It is in the record before the
 * effect: a machine that is switched off must not be taken for lost. It changes no phase, so it need not wait for the main
 * loop.
 */
export function hearPower({ input, life, ref, status, apply }: Powered): PowerDesk {
  let asked = 0;
  let turn: Promise<unknown> = Promise.resolve();

  const mayBe = (): void => {
    const why = powerless(life());
    if (why === undefined) return;
    const message = `Machine ${input.machineId} is ${life().phase}: ${why}.`;
    throw ApplicationFailure.nonRetryable(message, 'InvalidRequest');
  };
  const carryOut = async (body: unknown): Promise<MachineStatus> => {
    // It may have waited for its turn.
    mayBe();
    const order = { ...machinePowerBody.parse(body), atMs: Date.now() };
    apply({ type: 'powering', order });
    const { machineId, provider } = input;
    try {
      const activities = power(`power ${order.action} of ${machineId}`);
      await CancellationScope.nonCancellable(() => activities.powerMachine({ machine: ref(), action: order.action }));
      apply({ type: 'powered' });
      return status();
    } catch (error) {
      const message = `Provider ${provider} did not say in time whether power ${order.action} of ${machineId} was done.`;
      const reason = reasonOf(error, { type: 'ProviderUnavailable', message });
      apply({ type: 'powerFailed', refused: reason.type === 'InvalidRequest' });
      throw failureOf(reason);
    }
  };
  setHandler(
    powerUpdate,
    (body) => {
      asked += 1;
      const mine = turn.then(() => carryOut(body)).finally(() => (asked -= 1));
      turn = mine.catch(() => undefined); // its own caller hears of it
      return mine;
    },
    {
      validator(body) {
        const mistakes = mistakesOf(machinePowerBody, body);
        if (mistakes.length > 0) throw invalid(`power: ${mistakes.join('; ')}`, mistakes);
        mayBe();
      },
    },
  );
  return { busy: () => asked > 0, settled: () => turn };
}
