import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import type { StateFolder } from '../config/state-folder.ts';
import { isAlive, signalProcess } from '../host/process-identity.ts';

/** What the `local` provider's process writes of itself into `run/local.json`. */
const pidFile = z.object({ pid: z.int().positive(), start: z.string().min(1) });
const endWithinMs = 3_000;

/**
 * The `local` provider's process outlives its clients for a while, and its machines outlive it. When a stack ends and there
 * is no machine, nobody needs it: it is asked to end too, so that a one-shot run leaves no process.
 */
export async function endIdleLocalProvider(state: StateFolder): Promise<void> {
  const machines = await readdir(join(state.local, 'machines')).catch(() => []);
  if (machines.length > 0) return;
  const text = await readFile(join(state.run, 'local.json'), 'utf8').catch(() => undefined);
  if (text === undefined) return;
  const known = pidFile.parse(JSON.parse(text));
  if (!isAlive(known)) return;
  signalProcess(known.pid, 'SIGTERM');
  const untilMs = Date.now() + endWithinMs;
  while (isAlive(known) && Date.now() < untilMs) await pause(10);
}
