import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { promisify } from 'node:util';
import { DomainError } from '../domain/failure.ts';
import type { Access } from '../domain/lease.ts';
import { shellWord, shownWord } from '../domain/shell-word.ts';
import type { Io } from './io.ts';

/** What ssh(1) itself ends with when it fails; a command may end with it too. */
const sshFailed = 255;

/** How known_hosts names it. */
const hostOf = ({ address, port }: Access): string => (port === 22 ? address : `[${address}]:${port}`);

/** The pin alone decides: no file of the person's is asked, and none is written. */
const pinned = (knownHosts: readonly string[]): readonly string[] => [
  '-o',
  'StrictHostKeyChecking=yes',
  '-o',
  'GlobalKnownHostsFile=/dev/null',
  ...knownHosts,
];

const placeOf = ({ address, port, user }: Access): readonly string[] => ['-p', String(port), `${user}@${address}`];

/** A line to paste, for who has a key of their own on the machine. `KnownHostsCommand` is of OpenSSH 8.5. */
export function sshLine(access: Access): string {
  const command = `KnownHostsCommand=/bin/echo ${hostOf(access)} ${access.hostKey.split(' ').slice(0, 2).join(' ')}`;
  const words = ['ssh', ...pinned(['-o', 'UserKnownHostsFile=/dev/null', '-o', command]), ...placeOf(access)];
  return words.map(shownWord).join(' ');
}

/**
 * ssh(1) with a key of its own, which is there for as long as the session: `letIn` makes it known to the machine.
 * @param words the command; none for a shell
 * @returns its exit code, 128 and the signal's number where one ended it
 * @throws DomainError InvalidRequest without OpenSSH on this computer
 */
export async function sshSession(
  io: Io,
  access: Access,
  words: readonly string[],
  letIn: (publicKey: string) => Promise<void>,
): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-ssh-'));
  try {
    const key = join(folder, 'key');
    const knownHosts = join(folder, 'known_hosts');
    await promisify(execFile)('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'slipway lease ssh', '-f', key]);
    const keys = [access.hostKey, ...(access.nextHostKey === undefined ? [] : [access.nextHostKey])];
    await writeFile(knownHosts, keys.map((hostKey) => `${hostOf(access)} ${hostKey}\n`).join(''));
    await letIn((await readFile(`${key}.pub`, 'utf8')).trim());
    const own = ['IdentitiesOnly=yes', 'IdentityAgent=none', 'BatchMode=yes', 'LogLevel=ERROR'];
    const options = [
      '-F',
      'none',
      '-i',
      key,
      ...own.flatMap((option) => ['-o', option]),
      ...pinned(['-o', `UserKnownHostsFile=${knownHosts}`]),
    ];
    // The far shell takes one text: words stay words.
    const command = words.length === 0 ? [] : ['--', words.map(shellWord).join(' ')];
    return await ended(io, [...options, ...placeOf(access), ...command]);
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'ENOENT')) throw cause;
    throw new DomainError('InvalidRequest', 'There is no ssh or ssh-keygen on this computer.', {
      hint: 'Install the OpenSSH client.',
      cause,
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A real stream is passed on as it is, with its terminal. */
const shared = (stream: Readable | Writable) => ('fd' in stream ? stream : 'pipe');

async function ended(io: Io, words: readonly string[]): Promise<number> {
  const child = spawn('ssh', words, { stdio: [shared(io.stdin), shared(io.stdout), shared(io.stderr)] });
  // Ctrl-C is the session's, not ours.
  const deaf = io.onInterrupt((how) => how === 'told' && child.kill());
  try {
    if (child.stdin) io.stdin.pipe(child.stdin);
    // A command may end before it has read all.
    child.stdin?.on('error', () => undefined);
    child.stdout?.pipe(io.stdout, { end: false });
    child.stderr?.pipe(io.stderr, { end: false });
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
    });
  } finally {
    deaf();
  }
}

export const isSshFailure = (code: number): boolean => code === sshFailed;
