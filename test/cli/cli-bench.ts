import { writeFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable, Writable } from 'node:stream';
import type { StackModule } from '../../src/cli/context.ts';
import { runProgram } from '../../src/cli/program.ts';
import { startApiBench, token } from '../api/api-bench.ts';

/** A stream that keeps what is written, on a terminal or not. */
export class Kept extends Writable {
  readonly isTTY: boolean;
  readonly columns = 100;
  #text = '';
  readonly #waiting = new Set<() => void>();

  constructor(isTTY: boolean) {
    super();
    this.isTTY = isTTY;
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#text += chunk.toString();
    for (const look of this.#waiting) look();
    done();
  }

  get text(): string {
    return this.#text;
  }

  /** Resolves as soon as the text holds this. */
  async holds(part: string): Promise<void> {
    if (this.#text.includes(part)) return;
    await new Promise<void>((resolve) => {
      const look = (): void => {
        if (!this.#text.includes(part)) return;
        this.#waiting.delete(look);
        resolve();
      };
      this.#waiting.add(look);
    });
  }
}

export interface RunOptions {
  readonly tty?: boolean;
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly cwd?: string;
  readonly stack?: Partial<StackModule>;
}

const noStack = (): never => {
  throw new Error('this test has no stack');
};

/** The program as a person starts it, with streams that are kept. */
export function start(
  args: readonly string[],
  { tty = false, env = {}, stdin = '', cwd = tmpdir(), stack = {} }: RunOptions = {},
) {
  const stdout = new Kept(tty);
  const stderr = new Kept(tty);
  const listeners = new Set<(how: 'asked' | 'told') => void>();
  const code = runProgram(
    {
      io: {
        stdin: Readable.from([Buffer.from(stdin)]),
        stdout,
        stderr,
        env,
        cwd,
        onInterrupt(listener) {
          listeners.add(listener);
          return () => listeners.delete(listener);
        },
      },
      loadStack: async () => ({
        findStack: noStack,
        ensureStack: noStack,
        stopStack: noStack,
        runForeground: noStack,
        ...stack,
      }),
      loadServe: async () => ({ serve: noStack, setUp: noStack }),
    },
    args,
  );
  return {
    code,
    stdout,
    stderr,
    interrupt: (how: 'asked' | 'told' = 'asked') => listeners.forEach((listener) => listener(how)),
  };
}

/** The program on an API in this process. */
export async function startCliBench(change: Parameters<typeof startApiBench>[0] = {}) {
  const api = await startApiBench(change);
  const folder = await mkdtemp(join(tmpdir(), 'slipway-cli-'));
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, `${token}\n`, { mode: 0o600 });
  const env = { SLIPWAY_URL: api.url, SLIPWAY_TOKEN_FILE: tokenFile };
  const begin = (args: readonly string[], options: RunOptions = {}) =>
    start(args, { cwd: folder, ...options, env: { ...env, ...options.env } });
  return {
    api,
    folder,
    env,
    start: begin,
    async run(args: readonly string[], options: RunOptions = {}) {
      const running = begin(args, options);
      const code = await running.code;
      return { code, stdout: running.stdout.text, stderr: running.stderr.text };
    },
    async stop(): Promise<void> {
      await api.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type CliBench = Awaited<ReturnType<typeof startCliBench>>;
