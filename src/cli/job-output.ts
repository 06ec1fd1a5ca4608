import type { SlipwayClient } from '../client/client.ts';
import type { Stream, TaskResult } from '../domain/task.ts';
import type { Cli } from './context.ts';
import { sinksOf } from './output/sinks.ts';
import type { SinkFlags } from './output/sinks.ts';

export interface JobOutputOptions extends SinkFlags {
  /** From these bytes on. */
  readonly from?: Readonly<Record<Stream, number>> | undefined;
  readonly signal: AbortSignal;
  /** Before the first byte is written. */
  readonly onFirst?: () => Promise<unknown>;
}

/**
 * Writes a task's output as it comes to its sinks, and answers its result.
 * @throws PipeClosed when nobody reads any more
 */
export async function followJob(
  cli: Cli,
  client: SlipwayClient,
  task: { readonly leaseId: string; readonly taskId: string },
  { signal, onFirst, from = { stdout: 0, stderr: 0 }, ...flags }: JobOutputOptions,
): Promise<TaskResult> {
  const sinks = sinksOf(cli, flags);
  const onConnection = (state: 'lost' | 'back'): void =>
    cli.say(
      state === 'lost'
        ? cli.paint('yellow', '  The stack does not answer; trying again until it does (the job goes on).')
        : cli.paint('green', '  The stack is back.'),
    );
  let first = true;
  for await (const news of client.tasks.follow(task.leaseId, task.taskId, { from, signal, onConnection })) {
    if (news.type === 'end') {
      sinks.endLine();
      return news.result;
    }
    if (first) await onFirst?.();
    first = false;
    await sinks[news.stream](news.bytes);
  }
  throw new Error('a follow ended without a result');
}
