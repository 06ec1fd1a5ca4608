import { DomainError, type FailureType } from '../domain/failure.ts';
import { chunks } from './chunks.ts';
import type { FetchedFile, FetchSink } from './guest.ts';
import { markedStream } from './marked-stream.ts';
import { newNonce, scriptLine } from './scripts.ts';
import type { GuestShell } from './shell.ts';

/** See `Guest.fetchFile`. */
export async function fetchFile(
  shell: GuestShell,
  path: string,
  sink: FetchSink,
  signal: AbortSignal,
): Promise<FetchedFile> {
  if (!/^(\/|~$|~\/)[^\n\r\0]*$/.test(path)) {
    throw new DomainError('InvalidRequest', `${JSON.stringify(path)} must be absolute on the guest, or start with ~/.`);
  }
  // Brought when it is first needed, and when a reset has taken it away.
  for (let again = false; ; again = true) {
    const fetched = await attempt(shell, path, sink, signal);
    if (fetched !== undefined) return fetched;
    if (again) throw unreachable(shell, path);
    await shell.renew('fetch', signal);
  }
}

type Head = { readonly tree: boolean; readonly mode: string; readonly bytes?: number };

/** Undefined when nothing of ours came. */
async function attempt(
  shell: GuestShell,
  path: string,
  sink: FetchSink,
  signal: AbortSignal,
): Promise<FetchedFile | undefined> {
  const nonce = newNonce();
  const { had } = sink;
  const words = ['read', String(had?.bytes ?? 0), had?.stamp ?? '-'];
  const execution = await shell.link.open(scriptLine(shell.base, 'fetch', words), 'long', signal);
  const over = new AbortController();
  const stop = (): void => over.abort();
  signal.addEventListener('abort', stop, { once: true });
  let head: Head | undefined;
  let at = 0;
  let end: string | undefined;

  const take = async (line: readonly string[]): Promise<void> => {
    const [kind, ...rest] = line;
    if (kind === 'failed') throw failed(shell, path, rest);
    if (kind === 'end') end = rest[0] ?? '';
    if (kind === 'tree') {
      head = { tree: true, mode: rest[0] ?? '' };
      await sink.begin(undefined, 0);
    }
    if (kind === 'file') {
      const [bytes, stamp = '', mode = '', from] = rest;
      head = { tree: false, mode, bytes: Number(bytes) };
      at = Number(from);
      await sink.begin(stamp, at);
    }
  };
  try {
    execution.stdin.end(`${nonce}\n${path}\n`);
    execution.stderr.resume();
    const marked = markedStream(nonce, true);
    for await (const chunk of chunks(execution.stdout, over.signal)) {
      for (const piece of marked.feed(chunk)) {
        if ('words' in piece) await take(piece.words);
        else {
          await sink.write(at, piece.bytes);
          at += piece.bytes.length;
        }
      }
    }
    signal.throwIfAborted();
    if (head === undefined && (await execution.done) !== undefined) return undefined;
    if (head === undefined || end === undefined || (head.bytes ?? at) !== at) throw unreachable(shell, path);
    return fetched(shell, path, head, at, end);
  } finally {
    over.abort();
    signal.removeEventListener('abort', stop);
    execution.dismiss();
  }
}

function fetched(shell: GuestShell, path: string, { tree, mode }: Head, bytes: number, end: string): FetchedFile {
  if (!tree) return { path, bytes, mode, tree, changed: false, sha256: end };
  // GNU tar exits 1 when a file changed while it was read: the archive is whole all the same.
  if (end !== '0' && end !== '1') {
    throw new DomainError(
      'InvalidRequest',
      `${path} on ${shell.link.address.name} cannot be read whole (tar exits ${end}).`,
      {
        hint: 'Fetch what is readable, or make the rest readable for the login user.',
      },
    );
  }
  return { path, bytes, mode, tree, changed: end === '1' };
}

const unreachable = (shell: GuestShell, path: string): DomainError =>
  new DomainError(
    'GuestUnreachable',
    `The connection to ${shell.link.address.name} dropped while ${path} was fetched`,
    {
      hint: 'It goes on where it stood.',
    },
  );

function failed(shell: GuestShell, path: string, [code = 'other', ...rest]: readonly string[]): DomainError {
  const type: FailureType = code === 'nofile' ? 'NotFound' : 'InvalidRequest';
  return new DomainError(type, `${path} cannot be fetched from ${shell.link.address.name}: ${rest.join(' ')}`, {
    ...(hints[code] === undefined ? {} : { hint: hints[code] }),
    details: { code },
  });
}

const hints: Readonly<Record<string, string>> = {
  nofile: 'ls -l on the machine shows what there is.',
  denied: 'Fetch as a login user with sudo, or copy it where the login user may read it first.',
  kind: 'Only files and folders are fetched; devices, sockets and pipes have no end.',
};
