import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import type { InventoryMachine } from '../../domain/inventory.ts';
import { killSession } from '../../host/kill-session.ts';

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Shorter than what one call of destroy may take. */
const withinMs = 300_000;
/** Of what it wrote last. */
const shownBytes = 200;

/**
 * Runs an operator's command about a machine on this host: argv, no shell; which machine is in its environment only. It and
 * all that it started is killed when it takes longer than 5 min or the signal aborts.
 * @returns why it failed; undefined when it exited 0 @throws what the signal was aborted with
 */
export async function hostCommand(
  words: readonly string[],
  file: string,
  { name, address, port, user }: InventoryMachine,
  signal: AbortSignal,
): Promise<string | undefined> {
  const [program = '', ...args] = words;
  const child = spawn(program, args, {
    cwd: dirname(file),
    env: {
      PATH: path,
      HOME: homedir(),
      SLIPWAY_MACHINE_NAME: name,
      SLIPWAY_MACHINE_ADDRESS: address,
      SLIPWAY_MACHINE_PORT: String(port),
      SLIPWAY_MACHINE_USER: user,
    },
    stdio: ['ignore', 'ignore', 'pipe'],
    // A session of its own: what it started goes with it.
    detached: true,
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-shownBytes)));
  const over = AbortSignal.any([signal, AbortSignal.timeout(withinMs)]);
  const stop = (): void => {
    child.stderr.destroy();
    killSession(child);
  };
  over.addEventListener('abort', stop, { once: true });
  try {
    const end = await new Promise<string | undefined>((resolve) => {
      child.once('error', (error: NodeJS.ErrnoException) =>
        resolve(`could not be started (${error.code ?? 'unknown'})`),
      );
      child.once('close', (code, by) =>
        resolve(
          code === 0 ? undefined : `${by === null ? `exited ${code}` : `was ended by ${by}`} ${said.trim()}`.trim(),
        ),
      );
      if (over.aborted) stop();
    });
    signal.throwIfAborted();
    return over.aborted ? `took longer than ${withinMs / 60_000} min` : end;
  } finally {
    over.removeEventListener('abort', stop);
  }
}
