import type { Reason } from './failure.ts';
import type { LeaseResult, LeaseStatus } from './lease.ts';

/** What a dispatcher is told of a lease. */
export const notifyEvents = ['ready', 'ended'] as const;
export type NotifyEvent = (typeof notifyEvents)[number];

/** Whom to tell, in a request. */
export interface NotifyTarget {
  /** Of the dispatcher: http or https, without credentials. */
  readonly url: string;
  /** The name of a secret of the operator's (`secrets:` of slipway.yaml): the key that calls are signed with. */
  readonly secret: string;
}

/** The body of a call, in the form of Standard Webhooks; the same bytes at every try. */
export type Notification =
  | { readonly type: 'lease.ready'; readonly timestamp: string; readonly data: LeaseStatus }
  | { readonly type: 'lease.ended'; readonly timestamp: string; readonly data: LeaseResult };

export const notifyStates = ['sending', 'sent', 'failed'] as const;

/** How a call stands. */
export interface NotifyStatus {
  readonly state: (typeof notifyStates)[number];
  readonly since: string;
  /** When it was taken, or given up. */
  readonly at?: string;
  /** While it is sent: how often it was tried. */
  readonly tries?: number;
  /** Of the last try that failed. */
  readonly reason?: Reason;
}

/** Of a lease with `notify`. The calls have lives of their own; only the HTTP API, which asks those, says how they stand. */
export interface LeaseNotify {
  /** The origin of the URL; the rest of that may hold a token. */
  readonly to: string;
  readonly ready?: NotifyStatus;
  readonly ended?: NotifyStatus;
}

/** How long one try may take, from the connection to the answer's head. */
export const notifyTryMs = 15_000;
/** After that a call is given up. */
export const notifyWithinMs = 86_400_000;
/** Between tries, each pause twice the one before it. */
export const notifyPause = { firstMs: 1_000, longestMs: 900_000 } as const;
/** Whatever the receiver asks for. */
const longestAskedMs = 3_600_000;

export type Verdict =
  | { readonly do: 'done' }
  | { readonly do: 'tryAgain'; readonly afterMs?: number }
  | { readonly do: 'giveUp'; readonly why: string; readonly hint: string };

/**
 * What an answer means. Pure.
 * @param retryAfter the header, seconds or a date: it can only make a pause longer
 * @param tries with this one
 */
export function verdictOf(status: number, retryAfter: string | undefined, tries: number, nowMs: number): Verdict {
  if (status >= 200 && status < 300) return { do: 'done' };
  if (status >= 500 || status === 408 || status === 429) {
    const afterMs = pauseOf(retryAfter, tries, nowMs);
    return { do: 'tryAgain', ...(afterMs === undefined ? {} : { afterMs }) };
  }
  if (status >= 300 && status < 400)
    return { do: 'giveUp', why: `answered ${status}: redirects are not followed`, hint: 'give the final URL.' };
  return status === 410
    ? { do: 'giveUp', why: 'answered 410: it is told no more', hint: 'leave `notify` out, or give another URL.' }
    : { do: 'giveUp', why: `answered ${status}`, hint: 'look into the log of the receiver; 2xx says that it has it.' };
}

function pauseOf(retryAfter: string | undefined, tries: number, nowMs: number): number | undefined {
  if (retryAfter === undefined) return undefined;
  const { firstMs, longestMs } = notifyPause;
  const ownMs = Math.min(firstMs * 2 ** Math.min(tries - 1, 30), longestMs);
  const ms = /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1_000 : Date.parse(retryAfter) - nowMs;
  return Number.isNaN(ms) ? undefined : Math.min(Math.max(ms, ownMs), longestAskedMs);
}

/**
 * Addresses of the network's own wiring, behind which clouds keep the keys of a machine: no dispatcher lives there. Both as
 * `URL` writes a host (without brackets) and as a resolver does.
 */
export function isNeverCalled(address: string): boolean {
  const plain = address.toLowerCase().replace(/^::ffff:(?=[\d.]+$)/, '');
  const mapped = /^::ffff:([\da-f]{1,4}):[\da-f]{1,4}$/.exec(plain)?.[1];
  return (
    plain.startsWith('169.254.') ||
    plain === '100.100.100.200' ||
    plain === 'fd00:ec2::254' ||
    /^fe[89ab][\da-f]:/.test(plain) ||
    mapped === 'a9fe'
  );
}

/** The host of a URL as an address is written. */
export const hostOf = ({ hostname }: URL): string => hostname.replace(/^\[|\]$/g, '');

const defaultPort: Readonly<Record<string, string>> = { 'http:': '80', 'https:': '443' };

/** @param allow of the operator: `host`, `host:port`, `*.domain`; undefined: any */
export function isAllowed(url: URL, allow: readonly string[] | undefined): boolean {
  if (isNeverCalled(hostOf(url))) return false;
  if (allow === undefined) return true;
  const port = url.port || defaultPort[url.protocol];
  return allow.some((entry) => {
    const [, name = '', wanted] = /^(.*?)(?::(\d+))?$/.exec(entry.toLowerCase()) ?? [];
    if (wanted !== undefined && wanted !== port) return false;
    return name.startsWith('*.') ? url.hostname.endsWith(name.slice(1)) : url.hostname === name;
  });
}
