import { spawn } from 'node:child_process';
import { killSession } from '../host/kill-session.ts';

export const secretLimitBytes = 65_536;

/** Why a command gave no secret: never with anything that it printed. */
export type CommandEnd = { readonly ok: true; readonly bytes: Buffer } | { readonly ok: false; readonly why: string };

/**
 * Runs an operator's command (argv, no shell) and answers its stdout. Bounded in time and size; it and everything that it
 * started is killed beyond that.
 */
export function runSecretCommand(words: readonly string[], cwd: string, withinMs: number): Promise<CommandEnd> {
  return new Promise((resolve) => {
    const [program = '', ...args] = words;
    // A session of its own: its children must not keep the pipe open when it is killed, nor ask on our terminal.
    const child = spawn(program, args, { cwd, stdio: ['ignore', 'pipe', 'ignore'], detached: true });
    const chunks: Buffer[] = [];
    let bytes = 0;
    let refused: string | undefined;
    const stop = (why: string): void => {
      refused ??= why;
      child.stdout.destroy();
      killSession(child);
    };
    const timer = setTimeout(() => stop(`took longer than ${withinMs} ms`), withinMs);
    const settle = (end: CommandEnd): void => {
      clearTimeout(timer);
      resolve(refused === undefined ? end : { ok: false, why: refused });
    };
    child.stdout.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes > secretLimitBytes) stop(`printed more than ${secretLimitBytes} bytes`);
      else chunks.push(chunk);
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      settle({
        ok: false,
        why: error.code === 'ENOENT' ? 'was not found' : `could not be started (${error.code ?? 'unknown'})`,
      });
    });
    child.on('close', (code, signal) => {
      if (code === 0) settle({ ok: true, bytes: Buffer.concat(chunks) });
      else settle({ ok: false, why: signal === null ? `exited with ${code}` : `was ended by ${signal}` });
    });
  });
}
