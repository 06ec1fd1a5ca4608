import type { GateCommand, ReadyGate } from '../domain/bundle.ts';
import { DomainError } from '../domain/failure.ts';
import type { Guest } from '../guest/guest.ts';
import { pause } from './beat.ts';

/** The commands of a gate, and whether one of them is enough. */
function commandsOf(gate: ReadyGate): readonly GateCommand[] {
  if (gate.kind === 'command') return [gate];
  return gate.kind === 'all' || gate.kind === 'any' ? gate.commands : [];
}

/** What a gate needs of a guest. */
type Runner = Pick<Guest, 'launch' | 'follow' | 'kill' | 'clean'>;

export interface GateRun {
  readonly guest: Runner;
  readonly machineId: string;
  /** The same for the same attempt only: a command that an earlier one left is not taken for its own. */
  readonly key: string;
  /** Until the machine must be ready. */
  readonly leftMs: () => number;
}

/**
 * Runs each command of the gate again and again, beside the others, until it exits 0: all of them have to, or any.
 * @throws DomainError GuestNeverReady that names what still failed at the deadline
 */
export async function passCommands(run: GateRun, gate: ReadyGate, signal: AbortSignal): Promise<void> {
  const decided = new AbortController();
  const waits = commandsOf(gate).map((command, index) => untilZero(run, command, index, signal, decided.signal));
  try {
    await (gate.kind === 'any' ? Promise.any(waits) : Promise.all(waits));
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof AggregateError ? together(error.errors) : error;
  } finally {
    decided.abort();
    await Promise.allSettled(waits);
  }
}

async function untilZero(
  { guest, machineId, key, leftMs }: GateRun,
  { command, env, everyMs }: GateCommand,
  index: number,
  leaving: AbortSignal,
  decided: AbortSignal,
): Promise<void> {
  const signal = AbortSignal.any([leaving, decided]);
  const none = { data: () => Promise.resolve(), alive: () => undefined };
  for (let n = 0; ; n += 1) {
    const id = `${key}-${index}-${n}`;
    const spec = { command, ...(env ? { env } : {}), limitMs: Math.max(1_000, leftMs()) };
    let poll = await guest.launch(id, spec, signal);
    if (poll.state === 'running') poll = await guest.follow(id, { stdout: 0, stderr: 0 }, none, signal);
    // Another has decided: this one must not go on beside the lease's own work.
    if (decided.aborted && poll.state === 'running') await guest.kill(id, 0, 'cancelled', leaving);
    leaving.throwIfAborted();
    await guest.clean(id, leaving);
    if (poll.exitCode === 0 || decided.aborted) return;
    if (leftMs() < everyMs) {
      const how = `\`${command.join(' ')}\` still exits ${poll.exitCode ?? 'unknown'} at the deadline.`;
      throw new DomainError('GuestNeverReady', `Ready gate of ${machineId}: ${how}`);
    }
    await pause(everyMs, signal);
    if (decided.aborted) return;
  }
}

/** Every command of an `any` failed: each is told; one that may be tried again decides that all are. */
function together(errors: readonly unknown[]): unknown {
  const other = errors.find((error) => !(error instanceof DomainError) || error.type !== 'GuestNeverReady');
  if (other !== undefined) return other;
  return new DomainError('GuestNeverReady', errors.map((error) => (error as DomainError).message).join(' '));
}
