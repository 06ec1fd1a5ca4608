import { fork } from 'node:child_process';
import { closeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { StateFolder } from '../config/state-folder.ts';
import { DomainError } from '../domain/failure.ts';
import { built } from './built.ts';
import { openLog } from './log-file.ts';
import type { OnProgress } from './progress.ts';
import type { SupervisorArguments, SupervisorMessage } from './supervisor-messages.ts';

const entry = built('dev/main.js');

/**
 * Starts a supervisor with a session of its own, and waits until its stack is ready.
 * @returns `held` when another took the folder first
 * @throws DomainError what kept it from starting
 */
export async function launchSupervisor(
  args: SupervisorArguments,
  state: StateFolder,
  onProgress: OnProgress,
): Promise<'ready' | 'held'> {
  const logPath = join(state.log, 'stack.log');
  const log = openLog(logPath);
  const child = fork(entry, [JSON.stringify(args)], {
    detached: true,
    // Not where the caller happens to stand: that folder may go.
    cwd: dirname(state.root),
    stdio: ['ignore', log, log, 'ipc'],
    execArgv: ['--enable-source-maps'],
  });
  closeSync(log);
  try {
    return await new Promise<'ready' | 'held'>((resolve, reject) => {
      const lost = (text: string) =>
        reject(new DomainError('Internal', `The supervisor of ${state.root} ${text}.`, { hint: `See ${logPath}.` }));
      child.once('error', (error) => lost(`could not be started: ${error.message}`));
      let failure: DomainError | undefined;
      // It has told why: its end means that nothing of the stack is left.
      child.once('exit', (code, signal) =>
        failure === undefined ? lost(`ended before it was ready (${signal ?? `exit ${code}`})`) : reject(failure),
      );
      child.on('message', (message: SupervisorMessage) => {
        if (message.kind === 'progress') onProgress(message.progress);
        else if (message.kind === 'ready') resolve('ready');
        else if (message.type === 'IdConflict') resolve('held');
        else failure = new DomainError(message.type, message.message, message);
      });
    });
  } finally {
    child.removeAllListeners('message');
    // A one-shot stack sees by the open channel that we live; neither it nor its channel must keep us alive.
    if (args.mode === 'background' && child.connected) child.disconnect();
    child.channel?.unref();
    child.unref();
  }
}
