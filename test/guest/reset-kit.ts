import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { linesIn } from '../../src/guest/marked-stream.ts';
import { newNonce, resetScript } from '../../src/guest/scripts.ts';
import type { shells } from './protocol.ts';
import { linkShell } from './protocol.ts';

type Shell = (typeof shells)[number];

/** A machine that is no more than a home and processes, and the reset protocol on it, in one kind of shell. */
export interface ResetBench {
  readonly home: string;
  readonly base: string;
  /** As a tenant would. */
  sh(text: string): Promise<string>;
  baseline(leaveAlone?: readonly string[]): Promise<string>;
  /** What is left, a line each. */
  say(verb: 'reset' | 'compare', digest: string, leaveAlone?: readonly string[]): Promise<readonly string[]>;
  /** Started, to be killed in its middle. */
  start(verb: 'reset' | 'baseline', digest: string): { readonly child: ChildProcess; readonly ended: Promise<void> };
  answer(verb: string, digest: string, leaveAlone?: readonly string[]): Promise<readonly (readonly string[])[]>;
  remove(): void;
}

export function startReset(shell: Shell): ResetBench {
  const root = mkdtempSync(join(tmpdir(), 'slipway reset-'));
  const home = join(root, 'home');
  const base = join(home, '.slipway');
  mkdirSync(join(base, 'bin'), { recursive: true });
  const path = join(root, 'path');
  mkdirSync(path);
  linkShell(shell, path);
  writeFileSync(join(base, 'bin', 'reset.sh'), resetScript.replace(/^PATH=/m, `PATH='${path}':`));
  const env = { PATH: `${path}:/usr/bin:/bin`, HOME: home, BASE: base, SLIPWAY_MACHINE: `of ${root}` };

  const mark = String((1n << 53n) + BigInt(randomInt(2 ** 40)));
  const run = (words: readonly string[], stdin: string): { child: ChildProcess; done: Promise<Buffer> } => {
    // As a plain machine's are marked (`plain-processes.ts`).
    const limited = ['-c', 'ulimit -f "$0"; exec "$@"', mark, join(path, 'sh'), ...words];
    const child = spawn('/bin/sh', limited, { env, cwd: '/', stdio: ['pipe', 'pipe', 'ignore'], detached: true });
    const out: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stdin.on('error', () => undefined);
    child.stdin.end(stdin);
    const done = new Promise<Buffer>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => resolve(Buffer.concat(out)));
    });
    return { child, done };
  };
  const script = join(base, 'bin', 'reset.sh');
  const input = (nonce: string, digest: string, leaveAlone: readonly string[]): string =>
    [nonce, digest, ...leaveAlone].map((line) => `${line}\n`).join('');
  const answer = async (verb: string, digest: string, leaveAlone: readonly string[] = []) => {
    const nonce = newNonce();
    return linesIn(nonce, await run([script, verb], input(nonce, digest, leaveAlone)).done);
  };

  return {
    home,
    base,
    sh: async (text) => (await run(['-c', text], '').done).toString(),
    answer,
    async baseline(leaveAlone) {
      const line = (await answer('baseline', '-', leaveAlone)).at(-1) ?? [];
      if (line[0] !== 'ok' || line[1] === undefined) throw new Error(`no baseline: ${line.join(' ')}`);
      return line[1];
    },
    async say(verb, digest, leaveAlone) {
      const lines = await answer(verb, digest, leaveAlone);
      if (lines.at(-1)?.[0] !== 'end')
        throw new Error(`${verb} did not end: ${lines.map((line) => line.join(' ')).join('; ')}`);
      return lines.slice(0, -1).map(([, ...words]) => words.join(' '));
    },
    start(verb, digest) {
      const { child, done } = run([script, verb], input(newNonce(), digest, []));
      return { child, ended: done.then(() => undefined) };
    },
    remove: () => rmSync(root, { recursive: true, force: true }),
  };
}
