/** The detached supervisor: one JSON argument, a log for its output, and a channel to whoever started it. */
import { stateFolder } from '../config/state-folder.ts';
import { devEnvironment } from '../config/dev-environment.ts';
import { DomainError } from '../domain/failure.ts';
import type { StackProgress } from './progress.ts';
import { liveStack } from './stack-life.ts';
import type { SupervisorArguments, SupervisorMessage } from './supervisor-messages.ts';

const given = JSON.parse(process.argv[2] ?? '') as SupervisorArguments;

/** The client may be gone at any time: that is no failure of ours. */
const tell = (message: SupervisorMessage): void => {
  if (process.connected) process.send?.(message, () => undefined);
};
const log = (text: string): void => void process.stdout.write(`${new Date().toISOString()} ${text}\n`);
const onProgress = (progress: StackProgress): void => {
  log(progress.text);
  tell({ kind: 'progress', progress });
};

try {
  await liveStack(
    {
      state: stateFolder(given.state),
      mode: given.mode,
      environment: devEnvironment(),
      onProgress,
      entries: { worker: given.worker, api: given.api },
      ...(given.temporal === undefined ? {} : { temporal: given.temporal }),
    },
    {
      idleMs: given.idleMs,
      held: () => given.mode === 'one-shot' && process.connected,
      onReady: (stack) => {
        tell({ kind: 'ready' });
        // Its client is gone without a word: work may be open, so it stays as a background stack until idle.
        const abandoned = () => void stack.setMode('background');
        if (given.mode === 'one-shot' && process.connected) process.once('disconnect', abandoned);
        else if (given.mode === 'one-shot') abandoned();
      },
      say: log,
    },
  );
} catch (error) {
  const failure = error instanceof DomainError ? error : undefined;
  log(failure?.message ?? (error instanceof Error ? (error.stack ?? error.message) : String(error)));
  tell({
    kind: 'failed',
    type: failure?.type ?? 'Internal',
    message: failure?.message ?? String(error),
    ...(failure?.hint === undefined ? {} : { hint: failure.hint }),
    ...(failure?.details === undefined ? {} : { details: failure.details }),
  });
  process.exitCode = 1;
}
if (process.connected) process.disconnect();
