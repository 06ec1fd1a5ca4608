import type { Plan } from './bundle.ts';
import type { Reason } from './failure.ts';
import type { CheckIn, CheckInIdentity, GuestPost } from './guest-post.ts';
import { providerKey } from './ids.ts';
import { isLeaving, type MachinePhase, type MachineStatus } from './lease.ts';

/** All facts of one guest together. */
export const factsLimitBytes = 65_536;
/** Each costs its machine's workflow events. */
export const postsLimit = 100;
const wordsLimit = 900;

/** The end of what it said: there stands why. */
export const guestWords = (text: string): string => {
  const words = text.trim();
  return words.length <= wordsLimit ? words : `…${words.slice(1 - wordsLimit)}`;
};

/** The state after a post; the first word on how it ended stands. */
export function heard(before: CheckIn | undefined, post: GuestPost, nowMs: number): CheckIn {
  const known = before ?? { atMs: nowMs, posts: 0, source: post.source, facts: {}, hostKeys: [] };
  const { movedTo: _, ...rest } = known;
  return {
    ...rest,
    posts: known.posts + 1,
    ...(post.source === known.source ? {} : { movedTo: post.source }),
    ...(post.facts ? { facts: post.facts } : {}),
    ...(post.hostKeys ? { hostKeys: post.hostKeys } : {}),
    ...(known.result === undefined && post.result !== undefined
      ? { result: post.result, ...(post.message ? { message: post.message } : {}) }
      : {}),
  };
}

export const guestRefused = ({ result, message }: Pick<CheckIn, 'result' | 'message'>): Reason => ({
  type: 'CustomizeFailed',
  message: `The guest's own last stage failed: ${message ?? 'it gave no reason'} (result ${result ?? 'unknown'})`,
});

/** A result other than 0, where no other part of the gate could make up for it. */
export const decidesAgainst = (
  { gate, gateParts = [] }: Pick<Plan, 'gate' | 'gateParts'>,
  { result = 0 }: CheckIn,
): boolean => result !== 0 && (gate === 'checkin' || (gate === 'all' && gateParts.includes('checkin')));

/**
 * What is done with a post. `duplicate` is answered as the first one was: its sender may not have heard that. `early` is
 * asked for again. All others but `taken` change nothing, are counted and logged.
 */
export const verdicts = [
  'taken',
  'duplicate',
  'early',
  'replayed',
  'late',
  'contradicts',
  'moved',
  'tooMany',
  'unreadable',
] as const;
export type Verdict = (typeof verdicts)[number];

const decided: ReadonlySet<MachinePhase> = new Set(['warm', 'ready', 'held', 'renewing']);

/** Where a call comes from, and whether that must be where the first one did. */
export interface CallFrom {
  readonly source: string;
  readonly sameSource: boolean;
}

type Called = Pick<MachineStatus, 'key' | 'generation' | 'phase' | 'checkIn'>;

/** What speaks against any call of a proven guest. @param status the machine as it is */
export function outOfTurn(
  { key, generation, phase, checkIn }: Called,
  who: CheckInIdentity,
  { source, sameSource }: CallFrom,
): 'replayed' | 'late' | 'early' | 'moved' | undefined {
  if (key !== providerKey(who.machineId, who.birth) || who.generation < generation) return 'replayed';
  if (isLeaving(phase)) return 'late';
  // Its guest is made anew, and may well speak before its machine has heard that it is there.
  if (who.generation > generation) return 'early';
  return sameSource && checkIn && checkIn.source !== source ? 'moved' : undefined;
}

/** @param status the machine as it is */
export function judged(status: Called, who: CheckInIdentity, post: GuestPost, sameSource: boolean): Verdict {
  const { checkIn, phase } = status;
  const verdict = outOfTurn(status, who, { source: post.source, sameSource });
  if (verdict) return verdict;
  if (post.result !== undefined && checkIn?.result !== undefined) {
    const same = checkIn.result === post.result && checkIn.message === post.message;
    return same ? 'duplicate' : 'contradicts';
  }
  if (post.result !== undefined && decided.has(phase)) return 'late';
  if (post.facts && checkIn && checkIn.posts > 0 && isSame(checkIn, post)) return 'duplicate';
  return checkIn && checkIn.posts >= postsLimit ? 'tooMany' : 'taken';
}

const isSame = (checkIn: Pick<CheckIn, 'facts' | 'hostKeys'>, { facts = {}, hostKeys = [] }: GuestPost): boolean =>
  JSON.stringify([checkIn.facts, checkIn.hostKeys]) === JSON.stringify([facts, hostKeys]);

const factName = /^[A-Za-z][A-Za-z0-9._-]{0,63}$/;
const publicKeyLine = /^(ssh|ecdsa)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+/;

/** Lines `NAME=VALUE`; `hostKey=ssh-ed25519 AAAA…`, any number of times, is a key. Undefined where it is none of it. */
export function readFacts(text: string): Pick<GuestPost, 'facts' | 'hostKeys'> | undefined {
  const facts = new Map<string, string>();
  const hostKeys: string[] = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    const at = line.indexOf('=');
    const [name, value] = [line.slice(0, at), line.slice(at + 1).trim()];
    if (at < 0 || !factName.test(name)) return undefined;
    if (name !== 'hostKey') facts.set(name, value);
    else {
      const key = publicKeyLine.exec(value)?.[0];
      if (key === undefined || hostKeys.length >= 10) return undefined;
      hostKeys.push(key);
    }
  }
  return { facts: Object.fromEntries(facts), hostKeys };
}
