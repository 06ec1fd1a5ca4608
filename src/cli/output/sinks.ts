import type { Stream } from '../../domain/task.ts';
import type { Cli } from '../context.ts';
import { withoutEscapes } from './escapes.ts';
import { writeOut } from './pump.ts';

export interface SinkFlags {
  /** Also what would steer the terminal. */
  readonly raw?: boolean | undefined;
  /** This one only. */
  readonly stream?: Stream | undefined;
}

/**
 * Where a task's output goes: stdout to stdout, stderr to stderr, byte for byte; on a terminal without escape sequences.
 * With `--json` standard output is for the one document, and both streams go to standard error.
 */
export function sinksOf(
  { io, json }: Pick<Cli, 'io' | 'json'>,
  { raw = false, stream: only }: SinkFlags,
): Readonly<Record<Stream, (bytes: Uint8Array) => Promise<void>>> {
  const sinkOf = (stream: Stream) => {
    if (only !== undefined && only !== stream) return () => Promise.resolve();
    const out = stream === 'stdout' && !json ? io.stdout : io.stderr;
    const shown = out.isTTY && !raw ? withoutEscapes() : (bytes: Uint8Array) => bytes;
    return (bytes: Uint8Array) => writeOut(out, shown(bytes));
  };
  return { stdout: sinkOf('stdout'), stderr: sinkOf('stderr') };
}
