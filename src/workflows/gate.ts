import { CancellationScope, condition, isCancellation, patched } from '@temporalio/workflow';
import type { GatePart } from '../domain/bundle.ts';
import { guestRefused } from '../domain/check-in.ts';
import type { Reason } from '../domain/failure.ts';
import type { MachineEvent } from '../domain/machine-life.ts';
import type { OpenMachine } from './machine-life.ts';
import { waits } from './proxies.ts';
import { watched } from './watched.ts';

const watchedGate = 'a machine is watched while a person is awaited';
const passed: MachineEvent = { type: 'gatePassed' };

/**
 * What the bundle asks of a machine beyond its steps: commands, a person's word, all of it or any.
 * `interrupted` when it is to be asked again, with the machine's power as it is then.
 * @param overdue why it failed when nobody has said a word in time
 * @throws what the commands' activity fails with
 */
export function gateEvent(own: OpenMachine, overdue: () => Reason): Promise<MachineEvent> {
  const { gate, gateParts } = own.input.plan;
  if (gate === 'checkin') return severalParts(own, overdue, 'all', ['checkin']);
  if (gateParts && (gate === 'all' || gate === 'any')) return severalParts(own, overdue, gate, gateParts);
  switch (gate) {
    case 'steps':
      return Promise.resolve(passed);
    case 'command':
      return proved(own);
    case 'manual':
      return marked(own, overdue);
    case 'all':
      return inScope(() => [proved(own), marked(own, overdue)], everyPart);
    case 'any':
      // A word against it decides, whatever the commands may still say.
      return inScope(
        () => [proved(own), marked(own, overdue)],
        ([proving, saying]) =>
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

/** With a guest's own word among them. Whether anybody waits for the machine any more is watched beside. */
function severalParts(
  own: OpenMachine,
  overdue: () => Reason,
  kind: 'all' | 'any',
  parts: readonly GatePart[],
): Promise<MachineEvent> {
  const wait: Record<GatePart, () => Promise<MachineEvent>> = {
    command: () => proved(own),
    manual: () => word(own, overdue),
    checkin: () => posted(own, overdue),
  };
  return inScope(
    () => parts.map((part) => wait[part]()),
    (waiting) => unlessNews(own, kind === 'all' ? everyPart(waiting) : firstPart(waiting)),
  );
}

/** The first that does not pass decides. */
function everyPart(waiting: readonly Promise<MachineEvent>[]): Promise<MachineEvent> {
  return new Promise((resolve, reject) => {
    for (const part of waiting) {
      part.then((event) => {
        if (event.type !== 'gatePassed') resolve(event);
      }, reject);
    }
    Promise.all(waiting).then(() => resolve(passed), reject);
  });
}

/** The first that passes decides, or the last that does not. */
async function firstPart(waiting: readonly Promise<MachineEvent>[]): Promise<MachineEvent> {
  let left = waiting.length;
  return new Promise((resolve, reject) => {
    const isLast = (): boolean => {
      left -= 1;
      return left === 0;
    };
    for (const part of waiting) {
      part.then(
        (event) => {
          const last = isLast();
          if (event.type === 'gatePassed' || last) resolve(event);
        },
        (error: unknown) => {
          if (isLast() || isCancellation(error)) reject(error);
        },
      );
    }
  });
}

/** How the guest's own last stage ended, as it posts it. */
async function posted(own: OpenMachine, overdue: () => Reason): Promise<MachineEvent> {
  const result = (): number | undefined => own.life.checkIn?.result;
  if (!(await condition(() => result() !== undefined, own.leftMs()))) return { type: 'failed', reason: overdue() };
  return result() === 0 ? passed : { type: 'failed', reason: guestRefused(own.life.checkIn ?? {}) };
}

async function proved(own: OpenMachine): Promise<MachineEvent> {
  const { digest } = own.input.plan.bundle;
  await waits(own.leftMs(), 'ready gate: command').awaitGate({ ...own.guest, ...own.held, digest });
  return passed;
}

/** A person's word, or the news that nobody waits for it any more. */
function marked(own: OpenMachine, overdue: () => Reason): Promise<MachineEvent> {
  if (own.held.holder === undefined || !patched(watchedGate)) return word(own, overdue);
  return inScope(
    () => [word(own, overdue)],
    ([saying]) => unlessNews(own, saying),
  );
}

async function word(own: OpenMachine, overdue: () => Reason): Promise<MachineEvent> {
  if (!(await condition(() => own.life.marked !== undefined, own.leftMs()))) {
    return { type: 'failed', reason: overdue() };
  }
  const { result, message } = own.life.marked ?? { result: 0 };
  if (result === 0) return passed;
  return { type: 'failed', reason: { type: 'CustomizeFailed', message: `marked not ready: ${message ?? result}` } };
}

/** The watch only looks: without it the deadline of the phase still stands. */
function unlessNews(own: OpenMachine, decision: Promise<MachineEvent>): Promise<MachineEvent> {
  const { holder } = own.held;
  return holder === undefined ? decision : Promise.race([decision, watched(own, holder).catch(() => decision)]);
}

/** Waits beside each other; what is still under way when the decision falls is cancelled and seen to end. */
function inScope<W extends readonly Promise<MachineEvent>[]>(
  begin: () => readonly [...W],
  decide: (waiting: readonly [...W]) => Promise<MachineEvent>,
): Promise<MachineEvent> {
  const scope = new CancellationScope({ cancellable: true });
  return scope.run(async () => {
    const waiting = begin();
    try {
      return await decide(waiting);
    } finally {
      scope.cancel();
      await Promise.allSettled(waiting);
    }
  });
}
