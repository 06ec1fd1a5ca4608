import type { MachineEvent } from '../domain/machine-life.ts';
import type { OpenMachine } from './machine-life.ts';
import { waits } from './proxies.ts';

/** A pool's machine after its lease: looked at first, then reloaded or reset as was decided. @throws what that fails with */
export async function renew(own: OpenMachine): Promise<MachineEvent> {
  const { input, life, guest } = own;
  const { digest } = input.plan.bundle;
  switch (life.decision?.do) {
    case undefined: {
      const { bootId } = life.facts;
      const found = await waits(own.leftMs(), 'how it stands after its lease').inspectMachine({
        ...guest,
        ...(bootId === undefined ? {} : { bootId }),
      });
      return { type: 'judged', found };
    }
    case 'reload': {
      const { machine } = guest;
      const activities = waits(own.leftMs(), `reload, generation ${life.generation + 1}`);
      const made = await activities.reloadMachine({ machine, digest, variant: input.variant });
      return { type: 'renewed', left: [], ...made };
    }
    case 'reset': {
      const activities = waits(own.leftMs(), `reset, generation ${life.generation + 1}`);
      const made = await activities.resetGuest({ ...guest, digest, baseline: life.baseline ?? '' });
      return { type: 'renewed', ...made };
    }
    case 'destroy':
      return { type: 'cancelled' };
  }
}

/** What may be reset remembers what it is like, once it has proven to be good and before anybody has it. */
export async function withBaseline(own: OpenMachine, passed: MachineEvent): Promise<MachineEvent> {
  const { input, life, guest } = own;
  if (passed.type !== 'gatePassed' || !input.pool || input.plan.reclaim !== 'reset' || life.baseline) return passed;
  const { digest } = input.plan.bundle;
  const { baseline } = await waits(own.leftMs(), 'remember what it is like').takeBaseline({ ...guest, digest });
  return { ...passed, baseline };
}
