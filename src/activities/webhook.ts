import { createHmac } from 'node:crypto';
import { lookup as resolve } from 'node:dns';
import { request as overHttp } from 'node:http';
import { request as overHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { DomainError } from '../domain/failure.ts';
import { hostOf, isNeverCalled, notifyTryMs } from '../domain/notify.ts';

/** Of an answer, what decides. */
export interface WebhookAnswer {
  readonly status: number;
  readonly retryAfter: string | undefined;
}

const base64Prefix = 'whsec_';
const base64Pattern = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * The key of a secret as Standard Webhooks writes it (`whsec_` and base64), else its bytes as they are.
 * @throws DomainError Internal (retryable: the operator may mend it), never with the value
 */
export function signingKey(name: string, secret: string): Uint8Array {
  const raise = (why: string): never => {
    throw new DomainError('Internal', `Secret \`${name}\` is no key to sign with: ${why}.`, {
      hint: `Give secrets.${name} of slipway.yaml 24 to 64 random bytes, as whsec_ and their base64.`,
    });
  };
  if (!secret.startsWith(base64Prefix)) return secret === '' ? raise('it is empty') : Buffer.from(secret, 'utf8');
  const base64 = secret.slice(base64Prefix.length);
  return base64Pattern.test(base64) ? Buffer.from(base64, 'base64') : raise('what follows whsec_ is not base64');
}

/** The headers of one try (standardwebhooks.com): id and time are signed with the body. */
export function signedHeaders(
  key: Uint8Array,
  id: string,
  body: string,
  nowMs: number,
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(nowMs / 1_000));
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64');
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` };
}

/**
 * Posts JSON once: no redirect is followed, nothing of the answer but its head is read, and no address is connected to that
 * is never called, whatever a name resolves to by now.
 * @throws DomainError NotifyUnanswered when no answer came; NotifyRefused for such an address
 */
export async function post(
  url: URL,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  options: { readonly tryMs?: number; readonly resolve?: typeof resolve } = {},
): Promise<WebhookAnswer> {
  const { tryMs = notifyTryMs } = options;
  const overdue = AbortSignal.timeout(tryMs);
  try {
    // An address is connected to without being looked up.
    if (isNeverCalled(hostOf(url))) throw neverCalled(url, hostOf(url));
    return await send(url, body, headers, AbortSignal.any([signal, overdue]), lookupFor(url, options.resolve));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DomainError) throw error;
    throw unanswered(url, overdue.aborted ? `no answer within ${tryMs / 1_000} s` : wordsOf(error), error);
  }
}

const send = (
  url: URL,
  body: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
  lookup: LookupFunction,
): Promise<WebhookAnswer> =>
  new Promise((done, fail) => {
    const bytes = Buffer.from(body);
    const sending = (url.protocol === 'https:' ? overHttps : overHttp)(url, {
      method: 'POST',
      // A connection of its own: one that is kept may have been closed by the other side.
      agent: false,
      signal,
      lookup,
      headers: {
        'content-type': 'application/json',
        'content-length': bytes.length,
        'user-agent': 'slipway',
        ...headers,
      },
    });
    // More than one may come, after the answer too: they change nothing then.
    sending.on('error', fail);
    sending.once('response', (answer) => {
      done({ status: answer.statusCode ?? 0, retryAfter: answer.headers['retry-after'] });
      answer.destroy();
    });
    sending.end(bytes);
  });

const lookupFor =
  (url: URL, look = resolve): LookupFunction =>
  (host, options, answer) =>
    look(host, { ...options, all: true }, (error, addresses) => {
      if (error) return answer(error, []);
      const never = addresses.find(({ address }) => isNeverCalled(address));
      if (never) return answer(neverCalled(url, never.address), []);
      const [first] = addresses;
      return options.all || !first ? answer(null, addresses) : answer(null, first.address, first.family);
    });

const wordsOf = (error: unknown): string =>
  error instanceof Error ? ('code' in error ? String(error.code) : error.message) : String(error);

export const unanswered = (url: URL, why: string, cause?: unknown, retryAfterMs?: number): DomainError =>
  new DomainError('NotifyUnanswered', `${url.origin} was not told: ${why}.`, {
    ...(cause === undefined ? {} : { cause }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  });

const neverCalled = (url: URL, address: string): DomainError =>
  new DomainError('NotifyRefused', `${url.origin} is at ${address}, an address that is never called (link-local).`);
