import { DomainError } from '../domain/failure.ts';
import type { MachineRef } from './activities.ts';
import { beating } from './beat.ts';
import { providerOf, type Deps } from './deps.ts';
import { refOf, standing } from './until-running.ts';
import { every, statusOf } from './watch.ts';

/** By holder: when it was looked at last, by this worker; short attempts and steps share one look. */
const looked = new Map<string, number>();
const mostLooked = 10_000;

/**
 * `beating`, for the work on a machine that nobody watches yet: ends it when the workflow that wants the machine has closed
 * without a word.
 * @param holder its workflow id; without one nobody is looked at
 * @throws Gone
 */
export const whileHeld = <T>(
  deps: Deps,
  holder: string | undefined,
  work: (signal: AbortSignal) => Promise<T>,
  options: { readonly proven?: boolean } = {},
): Promise<T> =>
  beating((signal) => (holder === undefined ? work(signal) : unlessClosed(deps, holder, signal, work)), options);

/** `whileHeld`, on a guest that was logged in to before: a refused login is tried again. */
export const whileProven: typeof whileHeld = (deps, holder, work) => whileHeld(deps, holder, work, { proven: true });

async function unlessClosed<T>(
  deps: Deps,
  holder: string,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const gone = new DomainError('Gone', `${holder} has closed without giving its machine back.`);
  const { leaseEveryMs } = deps.times;
  if (looked.size >= mostLooked) looked.clear();
  const last = looked.get(holder) ?? Date.now();
  looked.set(holder, last);
  const leftMs = last + leaseEveryMs - Date.now();
  const look = async (): Promise<DomainError | undefined> => {
    looked.set(holder, Date.now());
    return (await statusOf(deps, holder)) === 'RUNNING' ? undefined : gone;
  };
  // Due before attempts that are too short to be looked at meanwhile.
  if (leftMs <= 0 && (await look().catch(unlessOurs))) throw gone;
  return beside({ everyMs: leaseEveryMs, firstMs: leftMs <= 0 ? leaseEveryMs : leftMs, look }, signal, work);
}

/**
 * Ends the wait for a guest whose machine its provider shows stopped, though nobody has switched it off.
 * @throws GuestLost
 */
export function unlessStopped<T>(
  deps: Deps,
  machine: MachineRef,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const look = async (signal: AbortSignal): Promise<DomainError | undefined> => {
    const view = await providerOf(deps, machine.provider).get(await refOf(deps, machine, signal), signal);
    return view.fault === undefined ? undefined : new DomainError('GuestLost', `${standing(machine, view)}.`);
  };
  const { providerEveryMs } = deps.times;
  return beside({ everyMs: providerEveryMs, firstMs: providerEveryMs, look }, signal, work);
}

interface Looks {
  readonly everyMs: number;
  readonly firstMs: number;
  /** What ends the work. */
  readonly look: (signal: AbortSignal) => Promise<DomainError | undefined>;
}

async function beside<T>(
  { everyMs, firstMs, look }: Looks,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const found = new AbortController();
  const over = new AbortController();
  const looking = every(everyMs, AbortSignal.any([signal, over.signal]), look, firstMs).then((news) => {
    if (news) found.abort(news);
  });
  try {
    return await work(AbortSignal.any([signal, found.signal]));
  } catch (error) {
    throw found.signal.aborted ? found.signal.reason : error;
  } finally {
    over.abort();
    await looking;
  }
}

/** A look that fails says nothing. */
function unlessOurs(error: unknown): undefined {
  if (!(error instanceof DomainError)) throw error;
}
