import { spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import { DomainError } from '../../domain/failure.ts';
import { fromWire, type WireFailure } from './protocol.ts';

/** Built code, also when we run from source. */
const entry = fileURLToPath(
  new URL(import.meta.url.endsWith('.ts') ? '../../../dist/providers/local/main.js' : './main.js', import.meta.url),
);

/**
 * Starts the provider's process, with a session of its own, and waits until it answers.
 * @returns `held` when another process has the folder
 * @throws DomainError what kept it from starting
 */
export async function launchLocal(folder: string): Promise<'ready' | 'held'> {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const logPath = join(folder, 'process.log');
  const log = openSync(logPath, 'a', 0o600);
  const child = spawn(process.execPath, ['--enable-source-maps', entry, folder], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', log, log, 'pipe'],
  });
  closeSync(log);
  child.unref();
  const told = await new Promise<string>((resolve) => {
    const pipe = child.stdio[3] as Readable;
    let text = '';
    pipe.setEncoding('utf8');
    pipe.on('data', (chunk: string) => {
      text += chunk;
      if (text.endsWith('\n')) pipe.destroy();
    });
    pipe.once('close', () => resolve(text));
    child.once('error', (error) =>
      resolve(`${JSON.stringify({ failure: { type: 'Internal', message: error.message } })}\n`),
    );
  });
  if (!told.endsWith('\n'))
    throw new DomainError('ProviderUnavailable', 'The process of provider local ended before it was ready.', {
      hint: `See ${logPath}.`,
    });
  const answer = JSON.parse(told) as { readonly held?: true; readonly failure?: WireFailure };
  if (answer.failure) throw fromWire(answer.failure);
  return answer.held ? 'held' : 'ready';
}
