/**
 * The one table of failures: who acts next decides what happens. Providers and guest code throw `DomainError`s and know
 * nothing of Temporal, HTTP or exit codes; `activities/failure.ts`, `api/problem.ts` and `cli/exit.ts` read this table.
 */
export const failureTable = {
  InvalidRequest: { retryable: false, http: 400, exit: 2 },
  Unauthorized: { retryable: false, http: 401, exit: 4 },
  Forbidden: { retryable: false, http: 403, exit: 4 },
  NotFound: { retryable: false, http: 404, exit: 3 },
  Gone: { retryable: false, http: 410, exit: 3 },
  IdConflict: { retryable: false, http: 409, exit: 5 },
  ProviderAuthRefused: { retryable: false, http: 502, exit: 6 },
  ProviderLacking: { retryable: false, http: 503, exit: 6 },
  QuotaExceeded: { retryable: false, http: 507, exit: 6 },
  CapacityUnavailable: { retryable: true, http: 503, exit: 6 },
  RateLimited: { retryable: true, http: 503, exit: 6 },
  ProviderUnavailable: { retryable: true, http: 503, exit: 6 },
  GuestUnreachable: { retryable: true, http: 503, exit: 6 },
  GuestNeverReady: { retryable: false, http: 502, exit: 6 },
  SshAuthRefused: { retryable: false, http: 502, exit: 6 },
  GuestLost: { retryable: false, http: 502, exit: 6 },
  CustomizeFailed: { retryable: false, http: 502, exit: 6 },
  NotifyRefused: { retryable: false, http: 502, exit: 6 },
  NotifyUnanswered: { retryable: true, http: 503, exit: 6 },
  HostKeyMismatch: { retryable: false, http: 502, exit: 6 },
  Internal: { retryable: true, http: 500, exit: 1 },
} as const satisfies Record<string, { retryable: boolean; http: number; exit: number }>;

export type FailureType = keyof typeof failureTable;

/** Failures of a place, not of a machine: another place may do better. */
const placeFailures = new Set<FailureType>([
  'CapacityUnavailable',
  'QuotaExceeded',
  'RateLimited',
  'ProviderUnavailable',
  'ProviderAuthRefused',
  'ProviderLacking',
]);
export const isPlaceFailure = (type: FailureType): boolean => placeFailures.has(type);

/** Why something ended badly, small enough to be carried in a workflow: the type decides, the message is for people. */
export interface Reason {
  readonly type: FailureType;
  readonly message: string;
}

export interface DomainErrorOptions {
  /** What to try, one sentence. */
  readonly hint?: string;
  /** For `RateLimited` and `CapacityUnavailable`: how long the other side asked us to wait. */
  readonly retryAfterMs?: number;
  /** Machine-readable particulars (for example the list of mistakes of an `InvalidRequest`); no secrets, ≤ 4 KiB. */
  readonly details?: Readonly<Record<string, unknown>>;
  readonly cause?: unknown;
}

/** A failure that somebody can act on. `message` says what failed, on which resource, and the limit; `hint` what to try. */
export class DomainError extends Error {
  readonly type: FailureType;
  readonly hint: string | undefined;
  readonly retryAfterMs: number | undefined;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(type: FailureType, message: string, options: DomainErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = type;
    this.type = type;
    this.hint = options.hint;
    this.retryAfterMs = options.retryAfterMs;
    this.details = options.details;
  }
}

const between = ' Try: ';

/** Message and hint in one text, for where there is room for one only: a reason in a workflow, a failure of Temporal's. */
export function wholeText({ message, hint }: { readonly message: string; readonly hint?: string | undefined }): string {
  if (hint === undefined) return message;
  return `${message}${/[.!?…]$/.test(message) ? '' : '.'}${between}${hint}`;
}

/** What `wholeText` made one. */
export function textParts(text: string): { readonly message: string; readonly hint?: string } {
  const at = text.indexOf(between);
  return at < 0 ? { message: text } : { message: text.slice(0, at), hint: text.slice(at + between.length) };
}

export function isFailureType(value: unknown): value is FailureType {
  return typeof value === 'string' && Object.hasOwn(failureTable, value);
}
