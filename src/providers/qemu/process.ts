import { execFile, spawn } from 'node:child_process';
import { readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { promisify } from 'node:util';
import { DomainError } from '../../domain/failure.ts';
import { isAlive, processStart, signalProcess, type ProcessIdentity } from '../../host/process-identity.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { inFolder, qemuArguments, qemuProgram, type Launch } from './arguments.ts';

const run = promisify(execFile);
const path = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/opt/homebrew/bin';
/** What our tools get: English, and programs of the system. */
export const toolEnvironment = { PATH: path, LC_ALL: 'C' } as const;

const startsWithinMs = 20_000;
const endsWithinMs = 10_000;

/** Why QEMU did not start. */
export class NotStarted extends Error {
  readonly portTaken: boolean;
  constructor(said: string) {
    super(said.trim());
    this.portTaken = said.includes('Could not set up host forwarding rule');
  }
}

/**
 * Starts a QEMU that outlives us. When this answers it runs, its port is bound and its QMP socket is there.
 * @throws NotStarted with its words; then none is left
 */
export async function startQemu(launch: Launch): Promise<void> {
  const { folder, hardware } = launch;
  for (const name of [inFolder.qmp, inFolder.pid]) await rm(join(folder, name), { force: true });
  const child = spawn(qemuProgram(hardware.arch), qemuArguments(launch), {
    cwd: folder,
    env: toolEnvironment,
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => (said = (said + chunk.toString()).slice(0, 2_000)));
  const timer = setTimeout(() => {
    child.kill('SIGKILL');
    child.stderr.destroy();
  }, startsWithinMs);
  const code = await new Promise<number | undefined>((resolve) => {
    child.once('error', (error) => {
      said = error.message;
      resolve(undefined);
    });
    child.once('close', (code) => resolve(code ?? undefined));
  });
  clearTimeout(timer);
  if (code === 0) return;
  await endQemu(launch.name, folder);
  throw new NotStarted(said === '' ? `it did not start within ${startsWithinMs / 1_000} s` : said);
}

/** The pid of the QEMU of this name, while it lives: nothing else has that name in its arguments. */
export async function findQemu(name: string, folder: string): Promise<number | undefined> {
  const text = await readFile(join(folder, inFolder.pid), 'utf8').catch(noneIfMissing);
  const pid = Number(text ?? '');
  return Number.isInteger(pid) && pid > 1 && (await isNamed(pid, name)) ? pid : undefined;
}

async function isNamed(pid: number, name: string): Promise<boolean> {
  if (processStart(pid) === undefined) return false;
  if (process.platform === 'linux') {
    const text = await readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '');
    return text.split('\0').includes(name);
  }
  const { stdout } = await run('ps', ['-ww', '-o', 'command=', '-p', String(pid)]).catch(() => ({ stdout: '' }));
  return stdout.split(' ').includes(name);
}

/** Ends it as a power cut does, and waits until it is dead: its port and its disk are free then. */
export async function endQemu(name: string, folder: string): Promise<void> {
  const deadline = Date.now() + endsWithinMs;
  // A process that ends loses its name before it lets go of its files.
  let ending: ProcessIdentity | undefined;
  for (let waitMs = 2; ; waitMs = Math.min(waitMs * 2, 100)) {
    const named = (await findQemu(name, folder)) ?? (await strayOf(name));
    const pid = named ?? (ending && isAlive(ending) ? ending.pid : undefined);
    if (pid === undefined) return;
    if (Date.now() > deadline)
      throw new DomainError('ProviderUnavailable', `The process ${pid} of QEMU does not end.`, {
        hint: 'A disk that does not answer holds it.',
      });
    const start = processStart(pid);
    if (start !== undefined) ending = { pid, start };
    signalProcess(pid, 'SIGKILL');
    await pause(waitMs);
  }
}

/** Of a start that was cut off before its pid was written. */
async function strayOf(name: string): Promise<number | undefined> {
  if (process.platform !== 'linux') return undefined;
  for (const entry of await readdir('/proc'))
    if (/^\d+$/.test(entry) && Number(entry) !== process.pid && (await isNamed(Number(entry), name)))
      return Number(entry);
  return undefined;
}

/** Of qemu-img. @throws DomainError CapacityUnavailable when the disk is full, ProviderUnavailable */
export async function qemuImg(words: readonly string[], signal?: AbortSignal): Promise<string> {
  try {
    const { stdout } = await run('qemu-img', [...words], { env: toolEnvironment, ...(signal ? { signal } : {}) });
    return stdout;
  } catch (error) {
    signal?.throwIfAborted();
    const { stderr = '', code } = error as { stderr?: string; code?: unknown };
    if (code === 'ENOENT')
      throw new DomainError('ProviderLacking', 'There is no qemu-img.', { hint: 'slipway provider check qemu' });
    const said = stderr.trim() === '' ? (error as Error).message : stderr.trim();
    throw isFullText(said) ? diskFull(error) : new DomainError('ProviderUnavailable', said, { cause: error });
  }
}

export const isFullText = (text: string): boolean =>
  /No space left on device|ENOSPC|Disk quota exceeded|EDQUOT/.test(text);

/** Also in our own words. */
export const isFull = (error: unknown): boolean =>
  error instanceof DomainError
    ? error.type === 'CapacityUnavailable'
    : isFullText((error as NodeJS.ErrnoException).code ?? '');

export const diskFull = (cause?: unknown): DomainError =>
  new DomainError('CapacityUnavailable', 'The disk of the state folder is full.', {
    hint: 'slipway provider check qemu',
    ...(cause === undefined ? {} : { cause }),
  });

/** The first line of what it says of itself; nothing when it is not there. */
export async function programVersion(program: string): Promise<string | undefined> {
  try {
    const { stdout } = await run(program, ['--version'], { env: toolEnvironment });
    return stdout.split('\n')[0];
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'ENOENT') return undefined;
    throw error;
  }
}
