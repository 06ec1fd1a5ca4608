import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

export interface CommandOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  readonly signal?: AbortSignal;
  /** Each line of standard output and standard error, as it comes. */
  readonly onLine?: (line: string) => void;
}

export interface CommandEnd {
  /** The exit status, or the name of the signal that ended it. */
  readonly status: number | NodeJS.Signals;
  /** Standard output, then standard error, the last 200 lines of each. */
  readonly text: string;
}

const keptLines = 200;

/** Runs a command to its end. Rejects when it cannot be started, or when the signal aborts it. */
export async function runCommand(
  command: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandEnd> {
  const child = spawn(command, args, {
    env: { ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const kept = [child.stdout, child.stderr].map((stream) => {
    const lines: string[] = [];
    createInterface({ input: stream }).on('line', (line) => {
      if (lines.push(line) > keptLines) lines.shift();
      options.onLine?.(line);
    });
    return lines;
  });
  const status = await new Promise<number | NodeJS.Signals>((resolve, reject) => {
    let failure: Error | undefined;
    child.once('error', (error) => {
      failure = error;
      // An abort is an error too, and the process that it ends still writes until it is gone.
      if (child.pid === undefined) reject(error);
    });
    child.once('close', (code, signal) => (failure === undefined ? resolve(code ?? signal ?? 1) : reject(failure)));
  });
  return { status, text: kept.map((lines) => lines.join('\n')).join('\n') };
}
