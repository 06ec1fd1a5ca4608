import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { LaunchSpec, TaskPoll } from '../../src/guest/guest.ts';
import { markedStream } from '../../src/guest/marked-stream.ts';
import { newNonce, taskScript } from '../../src/guest/scripts.ts';
import { taskPoll } from '../../src/guest/task-answer.ts';
import { taskProgram } from '../../src/guest/task-program.ts';

/** The task protocol's script run directly, all of its shells being one kind. */
export interface Protocol {
  readonly base: string;
  launch(id: string, spec: LaunchSpec, change?: (stdin: string) => string): Promise<string[]>;
  poll(id: string): Promise<TaskPoll>;
  /** Polls until the task has left the states absent and running. */
  ended(id: string): Promise<TaskPoll>;
  follow(id: string, from?: { out: number; err: number }): Promise<Followed>;
  say(verb: string, id: string, words?: readonly string[]): Promise<string[]>;
  kill(id: string, graceMs: number, mark?: 'cancelled' | 'timed-out'): Promise<TaskPoll>;
  files(id: string): string[];
  remove(): void;
}
interface Followed {
  readonly stdout: Buffer;
  readonly stderr: Buffer;
  readonly poll: TaskPoll;
}

export const shells = ['dash', 'bash', 'busybox'] as const;
export const whichTool = (name: string): string | undefined =>
  ['/bin', '/usr/bin', '/usr/local/bin', '/sbin'].map((folder) => join(folder, name)).find((path) => existsSync(path));

/** What a shell of this kind finds by name. */
export function toolsOf(shell: (typeof shells)[number]): readonly string[] {
  // busybox brings its own tools, too: those differ more than the shells do.
  if (shell !== 'busybox') return ['sh'];
  const said = execFileSync(whichTool(shell) ?? shell, ['--list'], { encoding: 'utf8' });
  return said.trim().split('\n');
}

/** A folder for PATH in which `sh` is this shell. */
export function linkShell(shell: (typeof shells)[number], folder: string): void {
  for (const name of toolsOf(shell)) symlinkSync(whichTool(shell) ?? shell, join(folder, name));
}

export function startProtocol(
  shell: (typeof shells)[number],
  base = mkdtempSync(join(tmpdir(), 'slipway-task-')),
): Protocol {
  mkdirSync(join(base, 'bin'));
  mkdirSync(join(base, 'path'));
  const script = join(base, 'bin', 'task.sh');
  writeFileSync(script, taskScript);
  linkShell(shell, join(base, 'path'));
  const env = {
    PATH: `${join(base, 'path')}:/usr/bin:/bin`,
    HOME: base,
    LEAK: 'of the session',
    SLIPWAY_MACHINE: 'its mark',
  };

  const run = (verb: string, id: string, words: readonly string[], stdin: string): Promise<Ran> =>
    new Promise((resolve, reject) => {
      const child = spawn(join(base, 'path', 'sh'), [script, verb, id, ...words], { env, stdio: 'pipe' });
      const stdout: Buffer[] = [];
      const stderr: Buffer[] = [];
      child.stdout.on('data', (chunk: Buffer) => stdout.push(chunk));
      child.stderr.on('data', (chunk: Buffer) => stderr.push(chunk));
      child.once('error', reject);
      child.stdin.on('error', () => undefined);
      child.once('close', (code) => resolve({ code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr) }));
      child.stdin.end(stdin);
    });
  const say = async (
    verb: string,
    id: string,
    words: readonly string[],
    text: (nonce: string) => string,
  ): Promise<string[]> => {
    const nonce = newNonce();
    const { code, stdout, stderr } = await run(verb, id, words, `${nonce}\n${text(nonce)}`);
    const line = parse(nonce, stdout).lines.at(-1);
    if (!line) throw new Error(`${verb} said nothing (exit ${code}): ${stderr.toString()}`);
    return line;
  };
  const poll = async (id: string): Promise<TaskPoll> => taskPoll(await say('poll', id, [], () => ''));

  return {
    base,
    poll,
    say: (verb, id, words = []) => say(verb, id, words, () => ''),
    launch: (id, spec, change = (stdin) => stdin) =>
      say(
        'launch',
        id,
        [spec.user ?? '-', String(spec.limitMs ?? 0), String(spec.graceMs ?? 1000), spec.stdinFile ? '1' : '0'],
        (nonce) => change(taskProgram(spec) + nonce),
      ),
    async ended(id) {
      for (;;) {
        const now = await poll(id);
        if (now.state !== 'absent' && now.state !== 'running') return now;
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    },
    async follow(id, from = { out: 0, err: 0 }) {
      const nonce = newNonce();
      const ran = await run('follow', id, [String(from.out), String(from.err)], `${nonce}\n`);
      const { lines, bytes } = parse(nonce, ran.stdout);
      const [kind, ...words] = lines.at(-1) ?? [];
      if (kind !== 'end') throw new Error(`follow did not end: ${ran.stderr.toString()}`);
      return { stdout: bytes, stderr: parse(nonce, ran.stderr).bytes, poll: taskPoll(words) };
    },
    kill: async (id, graceMs, mark = 'cancelled') => taskPoll(await say('kill', id, [String(graceMs), mark], () => '')),
    files: (id) => readdirSync(join(base, 'tasks', id)).sort(),
    remove: () => rmSync(base, { recursive: true, force: true }),
  };
}

interface Ran {
  readonly code: number | null;
  readonly stdout: Buffer;
  readonly stderr: Buffer;
}

function parse(nonce: string, output: Buffer): { lines: string[][]; bytes: Buffer } {
  const marked = markedStream(nonce, true);
  const pieces = [...marked.feed(output), ...marked.end()];
  return {
    lines: pieces.flatMap((piece) => ('words' in piece ? [[...piece.words]] : [])),
    bytes: Buffer.concat(pieces.flatMap((piece) => ('bytes' in piece ? [piece.bytes] : []))),
  };
}

/** Runs a tool of the system and answers what it printed. */
export const tool = (name: string, ...args: readonly string[]): string =>
  execFileSync(whichTool(name) ?? name, args, { encoding: 'utf8' });

/** Live processes (no zombies) whose environment or command line holds the text. */
export function processesWith(text: string, file: 'environ' | 'cmdline'): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        return (
          !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2)) &&
          readFileSync(`/proc/${pid}/${file}`, 'latin1').includes(text)
        );
      } catch {
        return false; // It ended, or is not ours to look at.
      }
    })
    .map(Number);
}
