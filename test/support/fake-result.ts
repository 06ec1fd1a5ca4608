import { emptySha256, type TaskResult } from '../../src/domain/task.ts';

/** The end of a task that wrote nothing. */
export function fakeResult(
  taskId: string,
  command: TaskResult['command'],
  exitCode: number | null,
  cancelled = false,
): TaskResult {
  const stream = { bytes: 0, keptBytes: 0, cut: false, sha256: emptySha256 };
  return {
    taskId,
    state: cancelled ? 'cancelled' : 'exited',
    command,
    exitCode,
    signal: cancelled ? 'TERM' : null,
    timedOut: false,
    cancelled,
    lost: false,
    startedAt: new Date().toISOString(),
    durationMs: 1,
    stdout: stream,
    stderr: stream,
  };
}
