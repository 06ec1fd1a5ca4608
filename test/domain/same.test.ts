import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { idPattern, jobTaskId, machineIdOf, parseTaskRef, providerKey, taskKey } from '../../src/domain/ids.ts';
import { canonical, digestOf, sameBody } from '../../src/domain/same.ts';
import { signalGapMs } from '../../src/domain/task.ts';

const aBody = fc.jsonValue({ maxDepth: 4 });

/** The same value with the keys of every object in another order. */
function turned(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toReversed()
      .map(([name, inner]) => [name, turned(inner)]),
  );
}

describe('a body', () => {
  test('is the same whatever the order of its keys', () => {
    fc.assert(
      fc.property(aBody, (body) => {
        expect(sameBody(body, turned(body))).toBe(true);
        expect(digestOf(body)).toBe(digestOf(turned(body)));
      }),
    );
  });

  test('is another as soon as its JSON says something else', () => {
    fc.assert(
      fc.property(aBody, aBody, (a, b) => {
        const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value));
        let equal = true;
        try {
          expect(plain(a)).toEqual(plain(b));
        } catch {
          equal = false;
        }
        expect(sameBody(a, b)).toBe(equal);
      }),
    );
  });

  test('is another when a list is in another order, or a field is added', () => {
    expect(sameBody({ command: ['a', 'b'] }, { command: ['b', 'a'] })).toBe(false);
    expect(sameBody({ a: 1 }, { a: 1, b: null })).toBe(false);
    expect(canonical({ b: 1, a: { d: 1, c: [2, { f: 1, e: 1 }] } })).toBe('{"a":{"c":[2,{"e":1,"f":1}],"d":1},"b":1}');
  });
});

describe('ids', () => {
  const anId = fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,62}$/);

  test('of a lease and of a task are told apart in lease/task', () => {
    fc.assert(
      fc.property(anId, anId, (leaseId, taskId) => {
        expect(idPattern.test(leaseId)).toBe(true);
        expect(parseTaskRef(taskKey(leaseId, taskId))).toEqual({ leaseId, taskId });
        expect(parseTaskRef(leaseId)).toEqual({ leaseId, taskId: jobTaskId });
      }),
    );
  });

  test('make a provider key of 40 hex digits, another for every machine and every birth', () => {
    fc.assert(
      fc.property(anId, fc.uuid(), fc.uuid(), (leaseId, birth, other) => {
        const key = providerKey(machineIdOf(leaseId, 1), birth);
        expect(key).toMatch(/^[0-9a-f]{40}$/);
        expect(providerKey(machineIdOf(leaseId, 1), birth)).toBe(key);
        expect(providerKey(machineIdOf(leaseId, 2), birth)).not.toBe(key);
        if (other !== birth) expect(providerKey(machineIdOf(leaseId, 1), other)).not.toBe(key);
      }),
    );
  });
});

test('a chatty task adds fewer than 700 events in any hour of its life', () => {
  const eventsOfSignal = 4;
  const sentMs: number[] = [];
  const endMs = 4 * 3_600_000;
  for (let ageMs = 0; ageMs < endMs; ageMs += signalGapMs(ageMs)) sentMs.push(ageMs);
  for (const from of sentMs.filter((ms) => ms <= endMs - 3_600_000)) {
    const inHour = sentMs.filter((ms) => ms >= from && ms < from + 3_600_000).length;
    expect(inHour * eventsOfSignal).toBeLessThan(700);
  }
  expect(signalGapMs(0)).toBe(1_000);
});
