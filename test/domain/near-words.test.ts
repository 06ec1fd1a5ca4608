import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { editDistance, nearWords } from '../../src/domain/near-words.ts';

it('the distance of words counts missing, extra, other and swapped letters', () => {
  expect(editDistance('', 'abc')).toBe(3);
  expect(editDistance('webb', 'web')).toBe(1);
  expect(editDistance('lcoal', 'local')).toBe(1);
  expect(editDistance('kitten', 'sitting')).toBe(3);
});

it('the distance of words is the same both ways, and none only between equals', () => {
  const word = fc.string({ maxLength: 12 });
  fc.assert(
    fc.property(word, word, (one, other) => {
      const distance = editDistance(one, other);
      return (
        distance === editDistance(other, one) &&
        (distance === 0) === (one === other) &&
        distance <= Math.max(one.length, other.length)
      );
    }),
  );
});

it('near words come nearest first, and strangers not at all', () => {
  expect(nearWords('webb', ['db', 'web-large', 'web', 'hello'])).toEqual(['web', 'web-large']);
  expect(nearWords('large', ['web-large', 'small'])).toEqual(['web-large']);
  expect(nearWords('zzz', ['web', 'hello'])).toEqual([]);
});
