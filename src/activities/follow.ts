import type { OutputAdvanced, Stream, StreamResult, TaskEndState, TaskResult, TaskSpec } from '../domain/task.ts';
import type { Guest, LaunchSpec, TaskPoll } from '../guest/guest.ts';
import type { OutputStore, OutputWriter } from '../output/output-store.ts';

export interface Run {
  readonly guest: Guest;
  readonly outputs: OutputStore;
  /** Of the task in the store and on the guest. */
  readonly key: string;
  readonly taskId: string;
  readonly command: TaskSpec['command'];
  readonly launch: LaunchSpec;
  readonly limitBytes: number;
  readonly startedAtMs: number;
  /** Told once the guest has answered. */
  readonly onReached?: () => void;
  /** Told of sizes and tails as they are stored. */
  readonly onStored?: (advanced: OutputAdvanced) => void;
}

/**
 * The guest keeps what is not stored here yet. It is freed in steps that grow with the output: each is a flush to the disk
 * here and an exec there, which in bulk cost as much as storing the bytes does.
 */
const releaseStep = (storedBytes: number): number => Math.min(32, Math.max(8, storedBytes / mib / 4)) * mib;
const mib = 1024 * 1024;
const tailBytes = 2_048;

/**
 * Launches the task (once, whoever asked before) and stores its output until it has ended. When `signal` aborts, it detaches:
 * the task goes on, and the next call takes up where the store stands.
 * @returns undefined when it detached
 */
export async function runToEnd(run: Run, signal: AbortSignal): Promise<TaskResult | undefined> {
  const { guest, outputs, key } = run;
  const before = await outputs.stat(key);
  if (before?.end) return before.end;
  const writer = await outputs.open(key, run.limitBytes);
  const store = storing(run, writer);
  try {
    let poll = await guest.launch(key, run.launch, signal);
    run.onReached?.();
    if (poll.state !== 'gone' && poll.state !== 'absent') {
      poll = await guest.follow(key, store.seen, { data: store.data, alive: () => undefined }, signal);
    }
    if (signal.aborted && poll.state === 'running') return undefined;
    await store.released();
    if (poll.state === 'orphan') await guest.kill(key, 0, 'cancelled', signal);
    const result = resultOf(run, poll, await kept(writer, poll));
    await writer.sync();
    await writer.end(result);
    // After the end is on our disk: a crash before it finds the task still there.
    await guest.clean(key, signal).catch(() => undefined); // a guest that is gone needs no cleaning
    return result;
  } finally {
    await store.released();
    await writer.close();
  }
}

/** Sizes and last bytes as they are in the end, whoever stored them. */
export async function outputAtEnd(outputs: OutputStore, key: string, ended: TaskResult): Promise<OutputAdvanced> {
  const side = async (stream: Stream) => {
    const { bytes, keptBytes } = ended[stream];
    const tail = await outputs.read(key, stream, Math.max(0, keptBytes - tailBytes), keptBytes);
    return { bytes, tail: new TextDecoder().decode(tail) };
  };
  const [stdout, stderr] = await Promise.all([side('stdout'), side('stderr')]);
  return { stdout, stderr };
}

function storing(run: Run, writer: OutputWriter) {
  const seen: Record<Stream, number> = { ...writer.offsets };
  const tails: Record<Stream, Uint8Array> = { stdout: new Uint8Array(), stderr: new Uint8Array() };
  let unreleased = 0;
  let releasing: Promise<void> = Promise.resolve();
  /** Only what is on our disk may be freed there. */
  const release = async (): Promise<void> => {
    const stored = { ...seen };
    await writer.sync();
    await run.guest.release(run.key, stored, AbortSignal.timeout(30_000));
  };
  const side = (stream: Stream) => ({ bytes: seen[stream], tail: new TextDecoder().decode(tails[stream]) });
  return {
    seen,
    data: async (stream: Stream, offset: number, bytes: Uint8Array): Promise<void> => {
      await writer.write(stream, offset, bytes);
      seen[stream] = Math.max(seen[stream], offset + bytes.length);
      tails[stream] = new Uint8Array(Buffer.concat([tails[stream], bytes.subarray(-tailBytes)]).subarray(-tailBytes));
      unreleased += bytes.length;
      run.onStored?.({ stdout: side('stdout'), stderr: side('stderr') });
      if (unreleased < releaseStep(seen.stdout + seen.stderr)) return;
      unreleased = 0;
      // Beside the stream, one at a time: it waits only where the guest's disk would fill faster than it is freed.
      const before = releasing;
      releasing = before.then(release);
      releasing.catch(() => undefined); // the next step meets it
      await before;
    },
    /** Nothing is being freed any more. What could not be is freed with the next step, or with the task. */
    released: (): Promise<void> => releasing.catch(() => undefined),
  };
}

function resultOf(run: Run, poll: TaskPoll, kept: Readonly<Record<Stream, StreamResult>>): TaskResult {
  const exited = poll.state === 'exited';
  const state: TaskEndState = !exited ? 'lost' : poll.timedOut ? 'timedOut' : poll.cancelled ? 'cancelled' : 'exited';
  const { lost } = poll;
  const why = !exited
    ? lostBecause[poll.state]
    : poll.rebooted
      ? 'the guest rebooted meanwhile'
      : lost.stdout !== null || lost.stderr !== null
        ? 'the disk of the guest was full: output is lost'
        : undefined;
  return {
    taskId: run.taskId,
    state,
    command: run.command,
    exitCode: exited ? poll.exitCode : null,
    signal: poll.signal,
    timedOut: poll.timedOut,
    cancelled: poll.cancelled,
    lost: !exited,
    ...(why === undefined ? {} : { reason: why }),
    startedAt: new Date(run.startedAtMs).toISOString(),
    durationMs: poll.durationMs ?? Date.now() - run.startedAtMs,
    ...kept,
  };
}

/** What the guest had no room for is missing in what is stored, even where nobody could count it. */
async function kept(writer: OutputWriter, { size, lost }: TaskPoll): Promise<Record<Stream, StreamResult>> {
  const { stdout, stderr } = await writer.finish({
    stdout: size.stdout + (lost.stdout ?? 0),
    stderr: size.stderr + (lost.stderr ?? 0),
  });
  return {
    stdout: { ...stdout, cut: stdout.cut || lost.stdout !== null },
    stderr: { ...stderr, cut: stderr.cut || lost.stderr !== null },
  };
}

const lostBecause: Record<TaskPoll['state'], string | undefined> = {
  absent: 'the guest knows nothing of it',
  running: 'it was still running when it was last seen',
  exited: undefined,
  orphan: 'its wrapper on the guest died',
  rebooted: 'the guest rebooted before it ended',
  lost: 'its processes on the guest vanished without a record',
  gone: 'the guest had already cleaned it away',
};

/** What is stored is all there will ever be. */
export async function endAsLost(
  outputs: OutputStore,
  task: Omit<TaskResult, 'stdout' | 'stderr'> & { readonly key: string; readonly limitBytes: number },
): Promise<TaskResult> {
  const { key, limitBytes, ...rest } = task;
  const before = await outputs.stat(key);
  if (before?.end) return before.end;
  const writer = await outputs.open(key, limitBytes);
  try {
    const result: TaskResult = { ...rest, ...(await writer.finish(writer.offsets)) };
    await writer.end(result);
    return result;
  } finally {
    await writer.close();
  }
}
