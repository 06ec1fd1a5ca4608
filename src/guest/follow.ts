import type { Readable } from 'node:stream';
import { DomainError } from '../domain/failure.ts';
import type { Stream } from '../domain/task.ts';
import { chunks } from './chunks.ts';
import type { Guest, TaskPoll } from './guest.ts';
import { markedStream, type Piece } from './marked-stream.ts';
import { newNonce, scriptLine } from './scripts.ts';
import type { GuestShell } from './shell.ts';
import { taskPoll } from './task-answer.ts';

type Handlers = Parameters<Guest['follow']>[2];
type Offsets = Record<Stream, number>;

/** How often a channel may end without a byte or an end of the task before something is wrong. */
const idleRoundsMax = 3;

/** See `Guest.follow`. One channel at a time; a new one goes on where the last one ended. */
export async function followTask(
  shell: GuestShell,
  id: string,
  from: Readonly<Offsets>,
  on: Handlers,
  signal: AbortSignal,
): Promise<TaskPoll> {
  const at: Offsets = { stdout: from.stdout, stderr: from.stderr };
  let idleRounds = 0;
  for (;;) {
    const before = at.stdout + at.stderr;
    const round = await follow(shell, id, at, on, signal);
    if (round.over) return withSizes(round.poll, at);
    if (round.poll === undefined) {
      // Nothing of ours came: the script is not there (yet), or the machine cannot run it, which this then says.
      await shell.prepare(signal);
    }
    idleRounds = at.stdout + at.stderr > before || round.lastedMs > 60_000 ? 0 : idleRounds + 1;
    if (idleRounds >= idleRoundsMax) {
      throw new DomainError(
        'Internal',
        `Machine ${shell.link.address.name} keeps ending the stream of a task that goes on`,
      );
    }
  }
}

type Round =
  | { readonly over: true; readonly poll: TaskPoll }
  | { readonly over: false; readonly poll: TaskPoll | undefined; readonly lastedMs: number };

async function follow(shell: GuestShell, id: string, at: Offsets, on: Handlers, signal: AbortSignal): Promise<Round> {
  const nonce = newNonce();
  const line = scriptLine(shell.base, 'task', ['follow', id, String(at.stdout), String(at.stderr)]);
  const began = performance.now();
  const execution = await shell.link.open(line, 'long', signal);
  // An abort ends the following and not the call: what is known is answered.
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal.addEventListener('abort', stop, { once: true });
  let poll: TaskPoll | undefined;
  let ended = false;
  const complete = (): boolean =>
    ended &&
    poll !== undefined &&
    poll.state !== 'running' &&
    at.stdout >= poll.size.stdout &&
    at.stderr >= poll.size.stderr;

  const take = async (stream: Stream, piece: Piece): Promise<void> => {
    on.alive();
    if ('bytes' in piece) {
      await on.data(stream, at[stream], piece.bytes);
      at[stream] += piece.bytes.length;
    } else if (stream === 'stdout') {
      const [kind, ...words] = piece.words;
      if (kind === 'now' || kind === 'end') poll = taskPoll(words);
      ended ||= kind === 'end';
    }
    if (complete()) over.abort();
  };
  const pump = async (stream: Stream, source: Readable): Promise<void> => {
    const marked = markedStream(nonce, true);
    for await (const chunk of chunks(source, over.signal)) {
      for (const piece of marked.feed(chunk)) await take(stream, piece);
    }
    if (!over.signal.aborted) for (const piece of marked.end()) await take(stream, piece);
  };
  try {
    execution.stdin.end(`${nonce}\n`);
    if (signal.aborted) over.abort();
    await Promise.all([pump('stdout', execution.stdout), pump('stderr', execution.stderr)]);
    if (poll !== undefined && (complete() || signal.aborted)) return { over: true, poll };
    signal.throwIfAborted();
    if (!ended && (await execution.done) === undefined) {
      throw new DomainError(
        'GuestUnreachable',
        `The connection to ${shell.link.address.name} dropped while a task was followed`,
        {
          hint: 'The task goes on by itself; following resumes where it was.',
        },
      );
    }
    return { over: false, poll, lastedMs: performance.now() - began };
  } finally {
    over.abort();
    signal.removeEventListener('abort', stop);
    execution.dismiss();
  }
}

/** What came is more than the last answer counted while the task runs, or when the command left a child that writes on. */
const withSizes = (poll: TaskPoll, at: Readonly<Offsets>): TaskPoll => ({
  ...poll,
  size: { stdout: Math.max(poll.size.stdout, at.stdout), stderr: Math.max(poll.size.stderr, at.stderr) },
});
