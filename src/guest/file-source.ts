import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { DomainError } from '../domain/failure.ts';
import { download, type Download } from './download.ts';
import type { FileSpec } from './guest.ts';

/** Where a file's bytes come from. A stream may be opened again, at another offset. */
export interface FileSource {
  /** In all; undefined when only the end of the stream tells. */
  readonly bytes: number | undefined;
  /** Hex, when it is known before the stream has been read. */
  readonly sha256: string | undefined;
  /**
   * The bytes from `offset` on. `from` is where they really begin: 0 when the source cannot start in the middle, or is not
   * what it was.
   * @throws DomainError CustomizeFailed, or GuestUnreachable for a source that may answer later (`isStalled`: it sent nothing
   *   for too long); the body too
   */
  open(
    offset: number,
    signal: AbortSignal,
  ): Promise<{ readonly from: number; readonly body: AsyncIterable<Uint8Array> }>;
}

/** 1 MiB reads: with the ssh2 stream they reach 0.76 of scp's rate. */
const readBytes = 1024 * 1024;

export async function fileSource(file: FileSpec, signal: AbortSignal): Promise<FileSource> {
  if ('bytes' in file.source) return bytesSource(file.source.bytes);
  if ('path' in file.source) return await pathSource(file.source.path, file.sha256, signal);
  return urlSource(file.source, file.sha256);
}

function bytesSource(bytes: Uint8Array): FileSource {
  return {
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    open: async (offset) => ({ from: offset, body: once(bytes.subarray(offset)) }),
  };
}

async function pathSource(path: string, sha256: string | undefined, signal: AbortSignal): Promise<FileSource> {
  const { size } = await stat(path).catch((cause: unknown) => {
    throw new DomainError('CustomizeFailed', `The file to install cannot be read: ${path}`, { cause });
  });
  const read = (start: number): AsyncIterable<Uint8Array> =>
    createReadStream(path, { start, highWaterMark: readBytes, signal }) as AsyncIterable<Uint8Array>;
  return {
    bytes: size,
    sha256: sha256 ?? (await hashOf(read(0))),
    open: async (offset) => ({ from: offset, body: read(offset) }),
  };
}

/** Goes through here to the guest, which may reach nothing itself. */
function urlSource(
  { url, idleMs }: Extract<FileSpec['source'], { readonly url: string }>,
  sha256: string | undefined,
): FileSource {
  let tag: string | undefined;
  return {
    bytes: undefined,
    sha256,
    async open(offset, signal) {
      // Without a known digest a part of yesterday's file could be joined to one of today's.
      const from = sha256 === undefined ? 0 : offset;
      const headers = {
        'accept-encoding': 'identity',
        ...(from > 0 ? { range: `bytes=${from}-` } : {}),
        ...(from > 0 && tag !== undefined ? { 'if-match': tag } : {}),
      };
      const answer = await request(url, headers, idleMs, signal);
      const { response } = answer;
      const etag = response.headers.get('etag');
      // A weak tag promises no equal bytes (RFC 9110, 8.8.1).
      if (etag !== null && !etag.startsWith('W/')) tag = etag;
      if (from > 0 && response.status === 416) return { from, body: none() };
      if (from > 0 && response.status === 412) {
        tag = undefined;
        return this.open(0, signal);
      }
      if (!response.ok) throw refusedBy(url, response.status);
      const starts =
        response.status === 206 ? Number(/^bytes (\d+)-/.exec(response.headers.get('content-range') ?? '')?.[1]) : 0;
      if (starts !== from && starts !== 0)
        throw unavailable(url, `it answered from byte ${starts} when asked for ${from}`);
      return { from: starts, body: body(url, answer) };
    },
  };
}

async function request(
  url: string,
  headers: Record<string, string>,
  idleMs: number | undefined,
  signal: AbortSignal,
): Promise<Download> {
  if (!/^https?:\/\//i.test(url))
    throw new DomainError('InvalidRequest', `Only http and https can be fetched: ${origin(url)}`);
  for (let at = url, hops = 0; ; hops += 1) {
    const answer = await ask(at, headers, idleMs, signal);
    const { response } = answer;
    const to = response.headers.get('location');
    if (!redirects.has(response.status) || to === null) return answer;
    await response.body?.cancel();
    if (hops === mostRedirects) throw astray(url, `more than ${mostRedirects} redirects`);
    const next = URL.canParse(to, at) ? new URL(to, at).href : '';
    if (!/^https?:\/\//.test(next))
      throw astray(url, `a redirect to ${next === '' ? 'no URL' : new URL(next).protocol}`);
    at = next;
  }
}

const redirects = new Set([301, 302, 303, 307, 308]);
const mostRedirects = 10;

const astray = (url: string, why: string): DomainError =>
  new DomainError('CustomizeFailed', `The file at ${origin(url)} cannot be fetched: ${why}`, {
    hint: 'Give the URL that the redirects should lead to.',
  });

async function ask(
  url: string,
  headers: Record<string, string>,
  idleMs: number | undefined,
  signal: AbortSignal,
): Promise<Download> {
  const patience = { ...(idleMs === undefined ? {} : { idleMs }), stalled: (ms: number) => stalled(url, ms) };
  try {
    return await download(url, { headers, redirect: 'manual' }, patience, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw error instanceof DomainError ? error : unavailable(url, 'no answer', error);
  }
}

async function* body(url: string, answer: Download): AsyncGenerator<Uint8Array> {
  const expected = answer.response.headers.get('content-length');
  let bytes = 0;
  try {
    for await (const chunk of answer.body) {
      bytes += chunk.length;
      yield chunk;
    }
  } catch (error) {
    throw error instanceof DomainError ? error : unavailable(url, 'the connection broke', error);
  }
  if (expected !== null && bytes !== Number(expected)) throw unavailable(url, `${bytes} of ${expected} bytes came`);
}

/** Without path and query, which may hold a token. */
const origin = (url: string): string => (URL.canParse(url) ? new URL(url).origin : 'no URL');

function refusedBy(url: string, status: number): DomainError {
  if (status >= 500 || status === 429 || status === 408) return unavailable(url, `it answered ${status}`);
  return new DomainError(
    'CustomizeFailed',
    `The file at ${origin(url)} cannot be fetched: the server answered ${status}`,
    {
      hint: 'Check the URL and its permissions.',
    },
  );
}

const unavailable = (url: string, why: string, cause?: unknown): DomainError =>
  new DomainError('GuestUnreachable', `The file at ${origin(url)} cannot be fetched now: ${why}`, { cause });

const stalled = (url: string, idleMs: number): DomainError =>
  new DomainError(
    'GuestUnreachable',
    `The file at ${origin(url)} cannot be fetched now: its server sent nothing for ${idleMs / 1_000} s`,
    { details: { code: 'stalled', from: origin(url), idleMs } },
  );

/** A source that was waited for as long as one is. */
export const isStalled = (error: unknown): error is DomainError =>
  error instanceof DomainError && error.details?.['code'] === 'stalled';

/** Of one that stalls whenever it is asked. */
export const givenUp = ({ details }: DomainError, times: number): DomainError =>
  new DomainError(
    'CustomizeFailed',
    `The file at ${String(details?.['from'])} cannot be fetched: its server sent nothing for ${Number(details?.['idleMs']) / 1_000} s, ${times} times in a row`,
    { hint: 'Look at that server, or upload a copy of the file.' },
  );

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += readBytes) yield bytes.subarray(at, at + readBytes);
}
async function* none(): AsyncGenerator<Uint8Array> {}

async function hashOf(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of stream) hash.update(chunk);
  return hash.digest('hex');
}

/** Passes the bytes on and hashes and counts them. */
export async function* tallied(
  stream: AsyncIterable<Uint8Array>,
  tally: { readonly hash: Hash; bytes: number },
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    tally.hash.update(chunk);
    tally.bytes += chunk.length;
    yield chunk;
  }
}
