import { describe, expect, it } from 'vitest';
import { passCommands } from '../../src/activities/gate.ts';
import type { GateRun } from '../../src/activities/gate.ts';
import type { GateCommand, ReadyGate } from '../../src/domain/bundle.ts';
import { planGate } from '../../src/domain/bundle.ts';
import type { TaskPoll } from '../../src/guest/guest.ts';

const size = { stdout: 0, stderr: 0 };
const poll = (state: 'running' | 'exited', exitCode: number | null): TaskPoll =>
  ({ state, exitCode, size, signal: null, timedOut: false, cancelled: false, rebooted: false }) as unknown as TaskPoll;

/** A guest whose commands exit as scripted, run by run; `hang` never does. */
function guestWith(exits: Readonly<Record<string, readonly (number | 'hang')[]>>) {
  const runs: Record<string, number> = {};
  const killed: string[] = [];
  const cleaned: string[] = [];
  const guest: GateRun['guest'] = {
    async launch(id, { command }) {
      const name = (command as readonly string[])[0] ?? '';
      const script = exits[name] ?? [0];
      const n = (runs[name] = (runs[name] ?? 0) + 1);
      const exit = script[Math.min(n, script.length) - 1] ?? 0;
      expect(cleaned).not.toContain(id);
      return exit === 'hang' ? poll('running', null) : poll('exited', exit);
    },
    follow: (_id, _offsets, _on, signal) =>
      new Promise((resolve) => {
        if (signal.aborted) resolve(poll('running', null));
        signal.addEventListener('abort', () => resolve(poll('running', null)), { once: true });
      }),
    async kill(id) {
      killed.push(id);
      return poll('exited', 143);
    },
    async clean(id) {
      cleaned.push(id);
    },
  };
  return { guest, runs, killed, cleaned };
}

const command = (name: string): GateCommand => ({ command: [name], everyMs: 5 });
const gateOf = (kind: 'all' | 'any', ...names: string[]): ReadyGate => ({
  kind,
  commands: names.map(command),
  manual: false,
});

describe('a gate of commands', () => {
  const never = new AbortController().signal;
  const pass = (guest: GateRun['guest'], gate: ReadyGate, leftMs = () => 1_000, signal = never): Promise<void> =>
    passCommands({ guest, machineId: 'm.1', key: 'k', leftMs }, gate, signal);

  it('is passed when its one command exits 0, after as many tries as that takes', async () => {
    const { guest, runs, cleaned } = guestWith({ a: [1, 7, 0] });
    await pass(guest, { kind: 'command', ...command('a') });
    expect([runs, cleaned]).toEqual([{ a: 3 }, ['k-0-0', 'k-0-1', 'k-0-2']]);
  });

  it('of all is passed when every one has', async () => {
    const { guest, runs } = guestWith({ a: [0], b: [1, 1, 0] });
    await pass(guest, gateOf('all', 'a', 'b'));
    expect(runs).toEqual({ a: 1, b: 3 });
  });

  it('of any is passed by the first, and what another still runs is killed', async () => {
    const { guest, killed, cleaned } = guestWith({ slow: ['hang'], b: [1, 0] });
    await pass(guest, gateOf('any', 'slow', 'b'));
    expect(killed).toEqual(['k-0-0']);
    expect(cleaned).toContain('k-0-0');
  });

  it('says at the deadline what still fails', async () => {
    const left = () => 1;
    const guest = (): GateRun['guest'] => guestWith({ a: [0], b: [3], c: [4] }).guest;
    await expect(pass(guest(), gateOf('all', 'a', 'b'), left)).rejects.toMatchObject({
      type: 'GuestNeverReady',
      message: 'Ready gate of m.1: `b` still exits 3 at the deadline.',
    });
    await expect(pass(guest(), gateOf('any', 'b', 'c'), left)).rejects.toThrow(
      'Ready gate of m.1: `b` still exits 3 at the deadline. Ready gate of m.1: `c` still exits 4 at the deadline.',
    );
  });

  it('is left at once when the machine leaves, and kills nothing', async () => {
    const { guest, killed } = guestWith({ a: ['hang'] });
    const leaving = new AbortController();
    const passing = pass(guest, gateOf('any', 'a'), undefined, leaving.signal);
    leaving.abort();
    await expect(passing).rejects.toThrow('aborted');
    expect(killed).toEqual([]);
  });

  it('needs a workflow to wait for a word only where one is asked for', () => {
    expect(planGate(gateOf('any', 'a'))).toEqual({ gate: 'command' });
    expect(planGate({ kind: 'any', commands: [command('a')], manual: true })).toEqual({ gate: 'any' });
    expect(planGate({ kind: 'all', commands: [command('a')], manual: true })).toEqual({ gate: 'all' });
    expect(planGate({ kind: 'manual' })).toEqual({ gate: 'manual' });
  });
});
