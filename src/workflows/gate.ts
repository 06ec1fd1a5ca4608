import { CancellationScope, condition, isCancellation, patched } from '@temporalio/workflow';
import type { Reason } from '../domain/failure.ts';
import type { MachineEvent } from '../domain/machine-life.ts';
import type { OpenMachine } from './machine-life.ts';
import { waits, watch } from './proxies.ts';

const watchedGate = 'a machine is watched while a person is awaited';
const passed: MachineEvent = { type: 'gatePassed' };

/**
 * What the bundle asks of a machine beyond its steps: commands, a person's word, all of it or any.
 * @param overdue why it failed when nobody has said a word in time
 * @throws what the commands' activity fails with
 */
export function gateEvent(own: OpenMachine, overdue: () => Reason): Promise<MachineEvent> {
  switch (own.input.plan.gate) {
    case 'steps':
      return Promise.resolve(passed);
    case 'command':
      return proved(own);
    case 'manual':
      return marked(own, overdue);
    case 'all':
      return inScope(own, overdue, async (proving, saying) => {
        // A word against it ends the wait for the commands.
        const said = await Promise.race([saying, proving.then(() => undefined)]);
        const word = said ?? (await saying);
        return word.type === 'gatePassed' ? proving : word;
      });
    case 'any':
      return inScope(own, overdue, (proving, saying) =>
        Promise.race([
          saying,
          proving.catch((error: unknown) => {
            if (isCancellation(error)) throw error;
            return saying;
          }),
        ]),
      );
  }
}

async function proved(own: OpenMachine): Promise<MachineEvent> {
  const { digest } = own.input.plan.bundle;
  await waits(own.leftMs(), 'ready gate: command').awaitGate({ ...own.guest, ...own.held, digest });
  return passed;
}

/** A person's word, or the news that nobody waits for it any more. */
function marked(own: OpenMachine, overdue: () => Reason): Promise<MachineEvent> {
  const { holder } = own.held;
  if (holder === undefined || !patched(watchedGate)) return word(own, overdue);
  const scope = new CancellationScope({ cancellable: true });
  return scope.run(async () => {
    const saying = word(own, overdue);
    // The watch only looks: without it the deadline of the phase still stands.
    const news = watch.watchMachine({ ...own.guest, holder }).catch(() => saying);
    try {
      return await Promise.race([saying, news]);
    } finally {
      scope.cancel();
      await Promise.allSettled([saying]);
    }
  });
}

async function word(own: OpenMachine, overdue: () => Reason): Promise<MachineEvent> {
  if (!(await condition(() => own.life.marked !== undefined, own.leftMs()))) {
    return { type: 'failed', reason: overdue() };
  }
  const { result, message } = own.life.marked ?? { result: 0 };
  if (result === 0) return passed;
  return { type: 'failed', reason: { type: 'CustomizeFailed', message: `marked not ready: ${message ?? result}` } };
}

/** Both waits at once; what is still under way when the decision falls is cancelled and seen to end. */
async function inScope(
  own: OpenMachine,
  overdue: () => Reason,
  decide: (proving: Promise<MachineEvent>, saying: Promise<MachineEvent>) => Promise<MachineEvent>,
): Promise<MachineEvent> {
  const scope = new CancellationScope({ cancellable: true });
  return scope.run(async () => {
    const proving = proved(own);
    const saying = marked(own, overdue);
    try {
      return await decide(proving, saying);
    } finally {
      scope.cancel();
      await Promise.allSettled([proving, saying]);
    }
  });
}
