import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { GateName, Held } from '../../src/providers/local/gates.ts';
import type { Knobs } from '../../src/providers/local/knobs.ts';

/** The tier that this run of the tests is for (`SLIPWAY_TEST_TIER`), where it is not the best that the host allows. */
const forced: Knobs =
  process.env['SLIPWAY_TEST_TIER'] === 'plain' || process.env['SLIPWAY_TEST_TIER'] === 'userns'
    ? { tier: process.env['SLIPWAY_TEST_TIER'] }
    : {};

/** Turns the knobs of the `local` provider of a state folder's `local/`; they are read anew at each call. `{}` is a plain provider, of this run's tier. */
export function turnKnobs(folder: string, knobs: Knobs): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const path = join(folder, 'knobs.json');
  const part = `${path}.${process.pid}.part`;
  writeFileSync(part, JSON.stringify({ ...forced, ...knobs }), { mode: 0o600 });
  renameSync(part, path);
}

/** Machine ids (`<lease>.<attempt>`) that wait at the gate now. */
export function heldAt(folder: string, gate: GateName): readonly string[] {
  try {
    return (JSON.parse(readFileSync(join(folder, 'held.json'), 'utf8')) as Held)[gate];
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** Waits until that many are held there. */
export async function awaitHeld(
  folder: string,
  gate: GateName,
  count = 1,
  withinMs = 20_000,
): Promise<readonly string[]> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const held = heldAt(folder, gate);
    if (held.length >= count) return held;
    if (Date.now() > deadline) throw new Error(`${held.length} of ${count} held at ${gate} after ${withinMs} ms`);
    await pause(10);
  }
}
