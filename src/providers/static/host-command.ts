import { spawn } from 'node:child_process';
import { homedir } from 'node:os';
import { dirname } from 'node:path';
import type { Inventory, InventoryMachine } from '../../domain/inventory.ts';
import { killSession } from '../../host/kill-session.ts';

const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
/** Shorter than what one call of destroy may take. */
const defaultWithinMs = 300_000;
const outBytes = 1_000;
/** Of what it wrote last. */
const shownBytes = 200;

/** Looks up one of the operator's secrets by its name in `slipway.yaml`. @throws DomainError */
export type FindSecret = (name: string) => Promise<string>;

/** How a command ended: why it failed, absent when it exited 0; and the end of what it wrote to standard output. */
export interface HostCommandEnd {
  readonly failed?: string;
  readonly out: string;
}

/**
 * Runs an operator's command about a machine on this host: argv, no shell; which machine is in its environment only, and so
 * are the secrets that the inventory names for it. It and all that it started is killed when it takes longer than 5 min, or
 * than `withinMs`, or the signal aborts.
 * @throws what the signal was aborted with; DomainError for a secret that cannot be had
 */
export async function hostCommand(
  words: readonly string[],
  { file, secretEnv = {} }: Pick<Inventory, 'file' | 'secretEnv'>,
  { name, address, port, user }: InventoryMachine,
  secret: FindSecret,
  signal: AbortSignal,
  withinMs = defaultWithinMs,
): Promise<HostCommandEnd> {
  const secrets = await Promise.all(
    Object.entries(secretEnv).map(async ([variable, of]) => [variable, await secret(of)] as const),
  );
  // Some programs repeat what they were given when they fail.
  const hushed = (text: string): string =>
    secrets.reduce((said, [, value]) => (value === '' ? said : said.replaceAll(value, '***')), text);
  const [program = '', ...args] = words;
  const child = spawn(program, args, {
    cwd: dirname(file),
    env: {
      ...Object.fromEntries(secrets),
      PATH: path,
      HOME: homedir(),
      SLIPWAY_MACHINE_NAME: name,
      SLIPWAY_MACHINE_ADDRESS: address,
      SLIPWAY_MACHINE_PORT: String(port),
      SLIPWAY_MACHINE_USER: user,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A session of its own: what it started goes with it.
    detached: true,
  });
  let said = '';
  let out = '';
  child.stdout.on('data', (chunk: Buffer) => (out = (out + chunk.toString()).slice(-outBytes)));
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(-outBytes)));
  const over = AbortSignal.any([signal, AbortSignal.timeout(withinMs)]);
  const stop = (): void => {
    child.stdout.destroy();
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
          code === 0
            ? undefined
            : `${by === null ? `exited ${code}` : `was ended by ${by}`} ${hushed(said).trim().slice(-shownBytes)}`.trim(),
        ),
      );
      if (over.aborted) stop();
    });
    signal.throwIfAborted();
    const failed = over.aborted ? `took longer than ${withinMs / 1_000} s` : end;
    return { out: hushed(out), ...(failed === undefined ? {} : { failed }) };
  } finally {
    over.removeEventListener('abort', stop);
  }
}
