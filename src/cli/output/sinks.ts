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

export interface Sinks extends Readonly<Record<Stream, (bytes: Uint8Array) => Promise<void>>> {
  /** Before we talk: on a terminal, what we say is no part of an output's last line. */
  endLine(): void;
}

const newline = 0x0a;

/**
 * Where a task's output goes: stdout to stdout, stderr to stderr, byte for byte; on a terminal without escape sequences.
 * With `--json` standard output is for the one document, and both streams go to standard error.
 */
export function sinksOf({ io, json }: Pick<Cli, 'io' | 'json'>, { raw = false, stream: only }: SinkFlags): Sinks {
  let midLine = false;
  const sinkOf = (stream: Stream) => {
    if (only !== undefined && only !== stream) return () => Promise.resolve();
    const out = stream === 'stdout' && !json ? io.stdout : io.stderr;
    const shown = out.isTTY && !raw ? withoutEscapes() : (bytes: Uint8Array) => bytes;
    return (bytes: Uint8Array) => {
      const written = shown(bytes);
      if (out.isTTY && written.length > 0) midLine = written.at(-1) !== newline;
      return writeOut(out, written);
    };
  };
  return {
    stdout: sinkOf('stdout'),
    stderr: sinkOf('stderr'),
    endLine: () => {
      if (midLine && io.stderr.isTTY) io.stderr.write('\n');
      midLine = false;
    },
  };
}
