import { verdicts } from '../domain/check-in.ts';

/** What came of a call, or why it got no further. */
export const outcomes = [...verdicts, 'forged', 'oversize', 'slow', 'throttled', 'failed'] as const;
export type Outcome = (typeof outcomes)[number];

export const statusCodes: Readonly<Record<Outcome, number>> = {
  taken: 200,
  duplicate: 200,
  // It asks again.
  early: 503,
  replayed: 410,
  late: 410,
  contradicts: 409,
  moved: 403,
  tooMany: 409,
  forged: 403,
  oversize: 413,
  slow: 408,
  unreadable: 400,
  throttled: 429,
  failed: 503,
};

/** Somebody may try to be who he is not. Any other is no more than a guest's own mistake, or its bad luck. */
export const suspicious: ReadonlySet<Outcome> = new Set(['forged', 'replayed', 'moved']);

const outcomesOfNode: Readonly<Record<string, Outcome | undefined>> = {
  ERR_HTTP_REQUEST_TIMEOUT: 'slow',
  ERR_TLS_HANDSHAKE_TIMEOUT: 'slow',
  HPE_HEADER_OVERFLOW: 'oversize',
  // It hung up in the middle.
  HPE_INVALID_EOF_STATE: undefined,
};

/** Of what Node itself cuts off; undefined where a connection has ended by itself. */
export const outcomeOfNode = (code: string): Outcome | undefined =>
  code in outcomesOfNode ? outcomesOfNode[code] : /^(HPE_|ERR_SSL_)/.test(code) ? 'unreadable' : undefined;

export interface Refusal {
  readonly refused: Exclude<Outcome, 'taken'>;
}

/** What a guest fetches, or why it does not get that. */
export type Fetched = { readonly text: string } | Refusal;
