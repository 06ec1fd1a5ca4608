import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { stateFolder, type StateFolder } from '../../src/config/state-folder.ts';
import { lockHolder } from '../../src/host/lock.ts';
import type { Stack } from '../../src/dev/stack.ts';
import { lockPath } from '../../src/dev/supervisor.ts';

const standIn = (name: string) => fileURLToPath(new URL(`./stand-in/${name}.mjs`, import.meta.url));
export const entries = { worker: standIn('worker'), api: standIn('api') };

export interface StackKit {
  readonly state: StateFolder;
  readonly order: () => Promise<readonly string[]>;
  /** Pids of the stack's processes by name, read from the state folder. */
  readonly children: () => Record<'temporal' | 'worker' | 'api', number>;
  readonly foreground: (options?: { temporal?: string; unasked?: string; path?: string }) => Foreground;
  readonly close: () => Promise<void>;
}

export interface Foreground {
  readonly process: ChildProcess;
  readonly said: () => string;
  readonly ready: () => Promise<Stack>;
  readonly over: Promise<number | string>;
}

export async function stackKit(): Promise<StackKit> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-stack-'));
  const state = stateFolder(join(folder, '.slipway'));
  const running: Foreground[] = [];
  const foreground: StackKit['foreground'] = ({ temporal, unasked, path } = {}) => {
    const args = [standIn('foreground'), state.root, entries.worker, entries.api];
    const child = spawn(process.execPath, temporal === undefined ? args : [...args, '--temporal'], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        TEMPORAL_ADDRESS: temporal ?? unasked,
        ...(path === undefined ? {} : { PATH: path }),
      },
    });
    let said = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (said += data.toString()));
    const over = new Promise<number | string>((done) =>
      child.once('close', (code, signal) => done(code ?? signal ?? '')),
    );
    const ready = async () => {
      await expect.poll(() => said, { timeout: 20_000, interval: 20 }).toMatch(/^ready .*\n/m);
      return JSON.parse(/^ready (.*)$/m.exec(said)?.[1] ?? '') as Stack;
    };
    const made = { process: child, said: () => said, ready, over };
    running.push(made);
    return made;
  };
  return {
    state,
    foreground,
    order: async () => (await readFile(join(state.root, 'order.txt'), 'utf8')).trim().split('\n'),
    children: () => {
      const known = JSON.parse(readFileSync(join(state.run, 'children.json'), 'utf8')) as Record<
        string,
        { pid: number }
      >;
      const pid = (name: string) => known[name]?.pid ?? 0;
      return { temporal: pid('temporal'), worker: pid('worker'), api: pid('api') };
    },
    close: async () => {
      // An orderly end takes Temporal 1 to 2 s, and has tests of its own.
      const holder = await lockHolder(lockPath(state));
      if (holder !== undefined) process.kill(holder.pid, 'SIGKILL');
      await expect.poll(() => processesOf(state), { timeout: 10_000, interval: 10 }).toEqual([]);
      await Promise.all(running.map(({ over }) => over));
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Processes whose environment or arguments name the folder: what a stack must not leave. Linux only. */
export function processesOf(state: StateFolder): readonly string[] {
  const mine = String(process.pid);
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && pid !== mine)
    .filter((pid) => {
      try {
        const text = `${readFileSync(`/proc/${pid}/cmdline`, 'latin1')}\0${readFileSync(`/proc/${pid}/environ`, 'latin1')}`;
        return text.includes(state.root);
      } catch {
        return false;
      }
    });
}
