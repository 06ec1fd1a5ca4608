import { DomainError } from '../domain/failure.ts';
import { isIdleNow, untilIdle } from './idle-watch.ts';
import { startStack, type RunningStack, type SupervisorOptions } from './supervisor.ts';

export interface StackLife {
  /** How long nothing may be open before a background stack ends. */
  readonly idleMs: number;
  /** For a one-shot stack: whether the client that started it is still connected. */
  readonly held: () => boolean;
  readonly onReady: (stack: RunningStack) => void;
  /** What a person is told at a first Ctrl-C, and at the end. */
  readonly say: (text: string) => void;
}

export const defaultIdleMs = 5 * 60_000;

const endSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
/** Sent by the client of a one-shot stack when it is done: end, unless others have work here. */
export const leaveSignal = 'SIGUSR2';

/**
 * Runs a stack until it is told to end (SIGINT, SIGTERM, SIGHUP), until it is idle (not in the foreground), or until one of
 * its processes cannot be kept alive. A second signal hurries.
 * @throws DomainError when it could not start, or one of its processes was given up
 */
export async function liveStack(options: Omit<SupervisorOptions, 'signal'>, life: StackLife): Promise<void> {
  const ending = new AbortController();
  let stack: RunningStack | undefined;
  const onEnd = () => {
    if (ending.signal.aborted) {
      life.say('Hurrying: every process is killed.');
      stack?.hurry();
      return;
    }
    life.say('Stopping: API, worker, Temporal. Leases and machines stay for the next start. (Again: at once.)');
    ending.abort(new DomainError('Internal', 'The stack was stopped before it was ready.'));
  };
  const onLeave = () => void leave();
  const leave = async () => {
    if (stack === undefined || options.mode !== 'one-shot') return;
    if (await isIdleNow(stack.connection, stack.file().temporal)) ending.abort();
    else await stack.setMode('background');
  };
  for (const signal of endSignals) process.on(signal, onEnd);
  process.on(leaveSignal, onLeave);
  try {
    stack = await startStack({ ...options, signal: ending.signal });
    life.onReady(stack);
    const failure = await untilOver(stack, options, life, ending);
    ending.abort();
    await stack.stop();
    if (failure !== undefined) throw failure;
  } catch (error) {
    // Ctrl-C while it was still starting is no failure to the person who pressed it.
    if (options.mode === 'foreground' && stack === undefined && ending.signal.aborted) return;
    throw error;
  } finally {
    for (const signal of endSignals) process.off(signal, onEnd);
    process.off(leaveSignal, onLeave);
  }
}

async function untilOver(
  stack: RunningStack,
  options: Pick<SupervisorOptions, 'mode'>,
  life: StackLife,
  ending: AbortController,
): Promise<DomainError | undefined> {
  const ended = new Promise<undefined>((resolve) => {
    if (ending.signal.aborted) resolve(undefined);
    ending.signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });
  const idle = async (): Promise<undefined> => {
    const over = await untilIdle({
      connection: stack.connection,
      temporal: stack.file().temporal,
      idleMs: life.idleMs,
      held: life.held,
      signal: ending.signal,
    });
    if (over) life.say(`Nothing was open for ${Math.round(life.idleMs / 1000)} s: stopping.`);
  };
  return Promise.race([ended, stack.failed, ...(options.mode === 'foreground' ? [] : [idle()])]);
}
