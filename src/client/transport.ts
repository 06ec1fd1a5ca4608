import type { Readable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import type { Problem } from '../contract/http.ts';
import { DomainError, isFailureType } from '../domain/failure.ts';
import type { FindEndpoint } from './endpoint.ts';
import { openBody } from './open-body.ts';
import type { Answered } from './open-body.ts';

/** How to ask. */
export interface Ask {
  readonly method?: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE';
  readonly query?: Readonly<Record<string, string | number | undefined>>;
  /** Sent as JSON. */
  readonly body?: unknown;
  /** Sent as it is; made anew for each try. */
  readonly bytes?: () => Uint8Array | ReadableStream<Uint8Array>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
  /** Asking twice does more than asking once: then a try that may have arrived is not repeated. */
  readonly once?: boolean;
}

export interface Transport {
  /** @throws DomainError as the API says; ProviderUnavailable when it did not answer within the patience */
  ask(path: string, ask?: Ask): Promise<Response>;
  /** The body of an answer, for those of any length. @throws DomainError as `ask`; a body that breaks off is `isAway` */
  body(path: string, ask?: Ask): Promise<Readable>;
  readonly json: <T>(path: string, ask?: Ask) => Promise<T>;
}

export interface TransportOptions {
  /** How long an API that is away is asked again: a process that died is back within 5 s. 15 s when absent. */
  readonly patienceMs?: number;
}

export const firstBackoffMs = 100;
export const backoffAfter = (ms: number): number => Math.min(2_000, ms * 1.6);
const defaultPatienceMs = 15_000;

type Send<T> = (target: string, init: RequestInit) => Promise<Answered<T>>;

/** Errors of the connection before anything was sent. */
const unsent = new Set(['ECONNREFUSED', 'ENOTFOUND', 'EHOSTUNREACH', 'UND_ERR_CONNECT_TIMEOUT']);

export function createTransport(find: FindEndpoint, options: TransportOptions = {}): Transport {
  const patienceMs = options.patienceMs ?? defaultPatienceMs;

  const tryOnce = async <T>(path: string, ask: Ask, again: boolean, send: Send<T>): Promise<T> => {
    const { url, token } = await find(again);
    const query = Object.entries(ask.query ?? {}).flatMap(([key, value]): [string, string][] =>
      value === undefined ? [] : [[key, String(value)]],
    );
    const target = `${url}${path}${query.length > 0 ? `?${new URLSearchParams(query).toString()}` : ''}`;
    const body = ask.bytes ? ask.bytes() : ask.body === undefined ? undefined : JSON.stringify(ask.body);
    const type = ask.bytes ? 'application/octet-stream' : 'application/json';
    const init = {
      method: ask.method ?? 'GET',
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { 'content-type': type }),
        ...ask.headers,
      },
      ...(body === undefined ? {} : { body, duplex: 'half' as const }),
      ...(ask.signal ? { signal: ask.signal } : {}),
    };
    const answer = await send(target, init);
    if ('taken' in answer) return answer.taken;
    throw await failureOf(answer.refused, path);
  };

  const patiently = async <T>(path: string, how: Ask, send: Send<T>): Promise<T> => {
    const until = performance.now() + patienceMs;
    let retried = false;
    for (let waitMs = firstBackoffMs; ; waitMs = backoffAfter(waitMs)) {
      try {
        return await tryOnce(path, how, retried, send);
      } catch (error) {
        how.signal?.throwIfAborted();
        const cut = connectionLost(error);
        const again = isAway(error) && (how.once !== true || (cut !== undefined && unsent.has(cut)));
        if (!again || performance.now() + waitMs > until) throw cut === undefined ? error : away(error);
        await pause(waitMs, undefined, how.signal ? { signal: how.signal } : {});
        retried = true;
      }
    }
  };
  const ask = (path: string, how: Ask = {}): Promise<Response> =>
    patiently(path, how, async (target, init) => {
      const answer = await fetch(target, init);
      return answer.ok ? { taken: answer } : { refused: answer };
    });
  return {
    ask,
    body: (path, how = {}) => patiently(path, how, openBody),
    json: async <T>(path: string, how?: Ask) => {
      const answer = await ask(path, how);
      return (answer.status === 204 ? undefined : await answer.json()) as T;
    },
  };
}

/** The code of a connection that failed or broke; undefined for any other error. */
export function connectionLost(error: unknown): string | undefined {
  // fetch says one of these two; why stands in the cause. Any other TypeError is a bug.
  if (!(error instanceof TypeError) || !['fetch failed', 'terminated'].includes(error.message)) return undefined;
  const { cause } = error;
  // Names that resolve to several addresses fail with all of them at once.
  const first = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  return first instanceof Error && 'code' in first ? String(first.code) : 'lost';
}

/** Whether the stack may be back in a moment. */
export const isAway = (error: unknown): boolean =>
  connectionLost(error) !== undefined || (error instanceof DomainError && error.type === 'ProviderUnavailable');

const away = (cause: unknown): DomainError =>
  new DomainError('ProviderUnavailable', `The API of the stack does not answer (${connectionLost(cause)}).`, {
    hint: 'slipway dev status says whether a stack runs; slipway dev --background starts one.',
    cause,
  });

/** RFC 9457 back to the error that it was. */
export function errorOfProblem(problem: Partial<Problem>, what: string): DomainError {
  const type = isFailureType(problem.type) ? problem.type : 'Internal';
  return new DomainError(type, problem.detail ?? `${what} failed with HTTP ${problem.status ?? '?'}.`, {
    ...(problem.hint === undefined ? {} : { hint: problem.hint }),
    ...(problem.retryAfterMs === undefined ? {} : { retryAfterMs: problem.retryAfterMs }),
    details: {
      ...(problem.status === undefined ? {} : { status: problem.status }),
      ...(problem.requestId === undefined ? {} : { requestId: problem.requestId }),
      ...(problem.issues === undefined ? {} : { issues: problem.issues }),
    },
  });
}

async function failureOf(answer: Response, path: string): Promise<DomainError> {
  const requestId = answer.headers.get('x-request-id') ?? undefined;
  const text = await answer.text().catch(() => '');
  let said: Partial<Problem> = {};
  try {
    said = JSON.parse(text) as Partial<Problem>;
  } catch {
    // No problem of ours (a HEAD, or something between us): its status must do.
  }
  const type = answer.status === 404 ? 'NotFound' : 'Internal';
  return errorOfProblem({ type, status: answer.status, ...(requestId ? { requestId } : {}), ...said }, path);
}
