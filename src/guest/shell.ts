import type { Readable, Writable } from 'node:stream';
import { DomainError, type FailureType } from '../domain/failure.ts';
import type { Execution } from './connection.ts';
import type { GuestFacts } from './guest.ts';
import type { GuestLink } from './link.ts';
import { linesIn } from './marked-stream.ts';
import { newNonce, prepareText, scriptLine, type ScriptName } from './scripts.ts';

/** What travels on stdin: known bytes, or a stream of them. */
export type Input = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** The words of our lines that an exec answered, in order. */
export type Lines = readonly (readonly string[])[];

/** Runs the protocol's scripts on one guest, and brings them there when they are missing. */
export interface GuestShell {
  readonly link: GuestLink;
  readonly base: string;
  /** Facts of the guest; also brings the scripts there. That it can run no tasks yet is no failure of this. */
  facts(signal: AbortSignal): Promise<GuestFacts>;
  /** One exec of a script with the nonce and `input` on stdin. @throws DomainError also when nothing of ours came back */
  say(
    script: ScriptName,
    words: readonly string[],
    input: (nonce: string) => Input,
    signal: AbortSignal,
  ): Promise<Lines>;
  /**
   * One exec of a text that is no script of ours there. Nothing of ours may come back: who may not run `line` says so in words
   * of its own. @throws DomainError GuestUnreachable when the connection dropped
   */
  once(line: string, nonce: string, text: string, signal: AbortSignal): Promise<Lines>;
  /** @throws DomainError when the guest cannot hold tasks: no disk that survives a reboot, no hard links, tools missing */
  prepare(signal: AbortSignal): Promise<void>;
  /** Brings this script there, also over one that was there. @throws DomainError as `prepare` */
  renew(script: ScriptName, signal: AbortSignal): Promise<void>;
}

export function guestShell(link: GuestLink, base: string): GuestShell {
  const machine = link.address.name;

  const answer = async (line: string, nonce: string, input: Input, signal: AbortSignal): Promise<Answer> =>
    link.exec(line, 'short', signal, async (execution) => {
      const [stdout, stderr, code] = await Promise.all([
        gather(execution.stdout),
        gather(execution.stderr),
        execution.done,
        feed(execution.stdin, input, execution.done),
      ]);
      return { lines: linesIn(nonce, stdout), stderr, code };
    });

  const introduce = async (
    signal: AbortSignal,
    names?: readonly ScriptName[],
    fresh?: boolean,
  ): Promise<{ facts: GuestFacts; refusal: DomainError | undefined }> => {
    const nonce = newNonce();
    const text = prepareText(base, nonce, names, fresh);
    const { lines, stderr, code } = await answer('sh', nonce, [Buffer.from(text)], signal);
    const [said, verdict] = lines;
    if (said?.[0] !== 'facts') throw silent(machine, stderr, code);
    const facts = { bootId: said[1] ?? '-', kernel: said[2] ?? '-', hostname: said[3] ?? '-' };
    if (verdict?.[0] === 'prepared') return { facts, refusal: undefined };
    if (verdict?.[0] === 'refused') return { facts, refusal: refused(machine, verdict) };
    throw silent(machine, stderr, code);
  };

  const prepare = async (signal: AbortSignal): Promise<void> => {
    const { refusal } = await introduce(signal);
    if (refusal) throw refusal;
  };

  return {
    link,
    base,
    facts: async (signal) => (await introduce(signal)).facts,
    prepare,
    async once(line, nonce, text, signal) {
      const { lines, stderr, code } = await answer(line, nonce, [Buffer.from(text)], signal);
      if (code === undefined) throw silent(machine, stderr, code);
      return lines;
    },
    async renew(script, signal) {
      const { refusal } = await introduce(signal, [script], true);
      if (refusal) throw refusal;
    },
    async say(script, words, input, signal) {
      // The script is nearly always there: it is looked for only when it did not answer.
      for (let again = false; ; again = true) {
        const nonce = newNonce();
        const line = scriptLine(base, script, words);
        const { lines, stderr, code } = await answer(line, nonce, withNonce(nonce, input(nonce)), signal);
        if (lines.length > 0) return lines;
        if (again || code === undefined) throw silent(machine, stderr, code);
        await prepare(signal);
      }
    },
  };
}

interface Answer {
  readonly lines: Lines;
  readonly stderr: Buffer;
  readonly code: number | undefined;
}

/** Turns `refused CODE text` of the scripts into the failure that says who acts next. */
export function refused(machine: string, words: readonly string[], what = 'cannot run tasks'): DomainError {
  const [, code = '', ...text] = words;
  const type: FailureType =
    code === 'truncated' ? 'GuestUnreachable' : code === 'busy' ? 'Internal' : 'CustomizeFailed';
  return new DomainError(type, `Machine ${machine} ${what}: ${text.join(' ')}`, {
    details: { code },
    ...(hints[code] === undefined ? {} : { hint: hints[code] }),
  });
}

const hints: Readonly<Record<string, string>> = {
  disk: 'Give the machine a larger disk, or let the job write less.',
  tools: 'Use an image with coreutils (or busybox), util-linux and grep.',
  volatile: 'Use an image whose /var or home lies on a disk.',
  links: 'Use an image whose /var or home lies on a Linux file system.',
  truncated: 'The connection dropped; it is tried again.',
};

/** The exec ended without a word of ours. */
function silent(machine: string, stderr: Buffer, code: number | undefined): DomainError {
  if (code === undefined) {
    return new DomainError('GuestUnreachable', `The connection to ${machine} dropped while it answered`, {
      hint: 'What it was asked to do may or may not have happened; it is asked again.',
    });
  }
  const said = stderr.toString('utf8', 0, 200).trim();
  return new DomainError(
    'CustomizeFailed',
    `Machine ${machine} ran no command for us (exit ${code}): ${said || 'no word'}`,
    {
      hint: 'The login user needs a working login shell, and sh on its PATH.',
    },
  );
}

async function* withNonce(nonce: string, input: Input): AsyncGenerator<Uint8Array> {
  yield Buffer.from(`${nonce}\n`);
  yield* input;
}

/** Nothing that answers in lines says more; the rest is read, so that the channel can close, and dropped. */
const answerMaxBytes = 1024 * 1024;

/** By events: an async iterator would close the channel at the end of stdout, before the exit code has come. */
function gather(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  return new Promise((resolve) => {
    stream.on('data', (chunk: Buffer) => {
      if (bytes < answerMaxBytes) chunks.push(chunk);
      bytes += chunk.length;
    });
    stream.once('end', () => resolve(Buffer.concat(chunks)));
  });
}

/** Writes as fast as the other side takes it; stops when that has closed, because its answer says why. */
async function feed(stdin: Writable, input: Input, done: Execution['done']): Promise<void> {
  let over = false;
  let wake = (): void => undefined;
  void done.then(() => {
    over = true;
    wake();
  });
  stdin.on('drain', () => wake());
  for await (const chunk of input) {
    if (over || !stdin.writable) return;
    const waited = new Promise<void>((resolve) => {
      wake = resolve;
    });
    if (!stdin.write(chunk) && !over) await waited;
  }
  stdin.end();
}
