import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planGate, type ReadyGate } from '../../src/domain/bundle.ts';
import { guestWords, heard, judged, postsLimit, readFacts, type Verdict } from '../../src/domain/check-in.ts';
import type { CheckInStatus, GuestPost } from '../../src/domain/guest-post.ts';
import { providerKey } from '../../src/domain/ids.ts';

const who = { machineId: 'web.1', birth: 'b', generation: 1 };
const key = providerKey('web.1', 'b');
const from = { key, generation: 1, source: '10.0.0.5' };
const done: GuestPost = { ...from, result: 0 };
const facts: GuestPost = { ...from, facts: { role: 'web' }, hostKeys: [] };
const known: CheckInStatus = {
  at: '2026-11-30T00:00:00Z',
  posts: 1,
  source: '10.0.0.5',
  facts: { role: 'web' },
  hostKeys: [],
};
const judge = (post: GuestPost, status: object = {}, sameSource = false, as = who): Verdict =>
  judged({ key, generation: 1, phase: 'readying', ...status }, as, post, sameSource);

describe('a post of a guest', () => {
  it.each<[string, Verdict, Verdict]>([
    ['the first facts', judge(facts), 'taken'],
    ['the result', judge(done, { checkIn: known }), 'taken'],
    ['while it is made still', judge(done, { phase: 'provisioning' }), 'taken'],
    ['the same facts again', judge(facts, { checkIn: known }), 'duplicate'],
    ['other facts', judge({ ...facts, facts: {} }, { checkIn: known }), 'taken'],
    ['the same result again', judge(done, { checkIn: { ...known, result: 0 } }), 'duplicate'],
    [
      'the same result when it is ready',
      judge(done, { phase: 'ready', checkIn: { ...known, result: 0 } }),
      'duplicate',
    ],
    ['another result', judge({ ...done, result: 1 }, { checkIn: { ...known, result: 0 } }), 'contradicts'],
    ['a result when it is ready without', judge(done, { phase: 'ready' }), 'late'],
    ['facts when it is ready', judge(facts, { phase: 'ready' }), 'taken'],
    ['on its way out', judge(facts, { phase: 'reclaiming' }), 'late'],
    ['after its end', judge(done, { phase: 'gone' }), 'late'],
    ['of an earlier life of the id', judge(done, {}, false, { ...who, birth: 'earlier' }), 'replayed'],
    ['of an earlier generation', judge(done, { generation: 2 }), 'replayed'],
    ['of the next generation', judge(done, { phase: 'renewing' }, false, { ...who, generation: 2 }), 'early'],
    ['of the one that never came', judge(done, { phase: 'reclaiming' }, false, { ...who, generation: 2 }), 'late'],
    ['from another address', judge({ ...done, source: '10.0.0.6' }, { checkIn: known }), 'taken'],
    ['from another address, where that is refused', judge({ ...done, source: 'x' }, { checkIn: known }, true), 'moved'],
    ['beyond its number', judge({ ...facts, facts: {} }, { checkIn: { ...known, posts: postsLimit } }), 'tooMany'],
  ])('with %s is judged', (_what, verdict, expected) => {
    expect(verdict).toBe(expected);
  });

  it('is recorded with where it came from, and the first word on the end stands', () => {
    const first = heard(undefined, facts, 5);
    expect(first).toEqual({ atMs: 5, posts: 1, source: '10.0.0.5', facts: { role: 'web' }, hostKeys: [] });
    const second = heard(first, { ...from, source: '10.0.0.6', result: 3, message: 'no licence' }, 6);
    expect(second).toEqual({ ...first, posts: 2, movedTo: '10.0.0.6', result: 3, message: 'no licence' });
    expect(heard(second, done, 7)).toEqual({ ...first, posts: 3, result: 3, message: 'no licence' });
  });

  it('keeps the end of long words', () => {
    expect(guestWords(` ${'a'.repeat(2_000)} why \n`)).toMatch(/^…a+ why$/);
    expect(guestWords('x'.repeat(2_000))).toHaveLength(900);
    expect(guestWords(' short\n')).toBe('short');
  });

  it('has facts and keys, a line each, or is none', () => {
    const key = `ssh-ed25519 ${'A'.repeat(20)}`;
    expect(readFacts(`a=b=c\n\nhostKey=${key} root@web\nother.fact= x \n`)).toEqual({
      facts: { a: 'b=c', 'other.fact': 'x' },
      hostKeys: [key],
    });
    expect(readFacts('')).toEqual({ facts: {}, hostKeys: [] });
    for (const text of ['a', '1=b', `${'a'.repeat(65)}=b`, 'hostKey=x', `hostKey=${key}\n`.repeat(11)])
      expect(readFacts(text)).toBeUndefined();
  });

  it('is read whatever it holds', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        const read = readFacts(text);
        for (const name of Object.keys(read?.facts ?? {})) expect(name).toMatch(/^[A-Za-z]/);
      }),
    );
  });
});

describe('a gate with a check-in', () => {
  const command = { command: ['true'], everyMs: 1 };
  it.each<[ReadyGate, object]>([
    [{ kind: 'checkin' }, { gate: 'checkin' }],
    [{ kind: 'all', commands: [command], manual: true }, { gate: 'all' }],
    [{ kind: 'any', commands: [command], manual: false }, { gate: 'command' }],
    [
      { kind: 'all', commands: [command], manual: false, checkIn: true },
      { gate: 'all', gateParts: ['command', 'checkin'] },
    ],
    [
      { kind: 'any', commands: [], manual: true, checkIn: true },
      { gate: 'any', gateParts: ['manual', 'checkin'] },
    ],
    [{ kind: 'all', commands: [], manual: false, checkIn: true }, { gate: 'checkin' }],
  ])('is planned: %j', (gate, plan) => {
    expect(planGate(gate)).toEqual(plan);
  });
});
