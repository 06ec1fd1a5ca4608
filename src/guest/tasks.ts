import { DomainError } from '../domain/failure.ts';
import { guestTaskDir } from '../domain/ids.ts';
import { defaultGraceMs } from '../domain/task.ts';
import type { FileSpec, Guest, InstalledFile, LaunchSpec } from './guest.ts';
import { followTask } from './follow.ts';
import { refused, type GuestShell, type Lines } from './shell.ts';
import { plainWord } from './scripts.ts';
import { taskPoll } from './task-answer.ts';
import { taskProgram } from './task-program.ts';

export type Tasks = Pick<Guest, 'launch' | 'follow' | 'kill' | 'release' | 'clean'>;

/** The task verbs on one guest. @param install puts the task's stdin file there */
export function guestTasks(
  shell: GuestShell,
  install: (file: FileSpec, signal: AbortSignal) => Promise<InstalledFile>,
): Tasks {
  const machine = shell.link.address.name;
  const say = async (words: readonly string[], signal: AbortSignal, text = ''): Promise<readonly string[]> => {
    const lines = await shell.say('task', words, (nonce) => (text ? [Buffer.from(text + nonce)] : []), signal);
    return lastOf(lines, machine);
  };

  return {
    async launch(taskKey, spec, signal) {
      const id = guestTaskDir(taskKey);
      // Refused before anything is sent: a mistake of the caller must not cost a task id.
      const program = taskProgram(spec);
      const { stdinFile } = spec;
      const words = launchWords(id, spec, stdinFile !== undefined);
      if (stdinFile) {
        const before = taskPoll(await say(['poll', id], signal));
        if (before.state !== 'absent') return before;
        // Prevented by a kill: the launch records that, and needs no stdin for it.
        if (before.cancelled || before.timedOut) {
          return taskPoll(await say(launchWords(id, spec, false), signal, program));
        }
        const path = `${shell.base}/tasks/${id}/stdin`;
        await install({ id: taskKey, source: { path: stdinFile.path }, path, mode: '0600', parents: true }, signal);
      }
      return taskPoll(await say(words, signal, program));
    },

    follow: (taskKey, offsets, on, signal) => followTask(shell, guestTaskDir(taskKey), offsets, on, signal),

    async kill(taskKey, graceMs, why, signal) {
      const mark = why === 'cancelled' ? 'cancelled' : 'timed-out';
      return taskPoll(await say(['kill', guestTaskDir(taskKey), whole(graceMs), mark], signal));
    },

    async release(taskKey, offsets, signal) {
      const words = ['release', guestTaskDir(taskKey), whole(offsets.stdout), whole(offsets.stderr)];
      try {
        await say(words, signal);
      } catch (error) {
        // Not every file system punches holes: there the spool stays until the task is cleaned.
        if (!(error instanceof DomainError && error.details?.['code'] === 'unsupported')) throw error;
      }
    },

    async clean(taskKey, signal) {
      await say(['clean', guestTaskDir(taskKey)], signal);
    },
  };
}

function launchWords(id: string, spec: LaunchSpec, withStdin: boolean): readonly string[] {
  if (spec.user !== undefined && !/^[A-Za-z0-9_][A-Za-z0-9._-]{0,255}$/.test(spec.user)) {
    throw new DomainError('InvalidRequest', `${JSON.stringify(spec.user)} is no name of a user`);
  }
  const limit = whole(spec.limitMs ?? 0);
  const grace = whole(spec.graceMs ?? defaultGraceMs);
  return ['launch', id, plainWord(spec.user ?? '-'), limit, grace, withStdin ? '1' : '0'];
}

const whole = (value: number): string => String(Math.max(0, Math.round(value)));

function lastOf(lines: Lines, machine: string): readonly string[] {
  const line = lines.at(-1) ?? [];
  if (line[0] === 'refused') throw refused(machine, line, 'refused the task');
  return line;
}
