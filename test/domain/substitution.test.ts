import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mentionsIn, substituted } from '../../src/domain/substitution.ts';
import type { SubstitutionRule } from '../../src/domain/substitution.ts';

const values = { port: 80, name: 'web', on: true };
const put = (rule: SubstitutionRule, text: unknown): unknown => substituted(text, values, () => rule);

describe('a parameter in a string', () => {
  it.each<[SubstitutionRule, string, unknown]>([
    ['typed', '${port}', 80],
    ['typed', '${on}', true],
    ['typed', ':${port}/${name}', ':80/web'],
    ['typed', '${other}', '${other}'],
    ['typed', '$${port}', '${port}'],
    ['typed', '$$${port}', '$${port}'],
    ['typed', '${HOME}/${name}', '${HOME}/web'],
    ['typed', '${ port }', '${ port }'],
    ['text', '${port}', '80'],
    ['text', 'a${on}', 'atrue'],
    ['item', '${port}', '80'],
    ['item', '--port=${port}', '--port=${port}'],
    ['item', '$${port}', '${port}'],
    ['never', '${port}', '${port}'],
    ['never', '$${port}', '$${port}'],
  ])('by the rule %s makes %j to %j', (rule, text, expected) => {
    expect(put(rule, text)).toBe(expected);
  });

  it('is found with its names, its place, and whether it is all there is', () => {
    const data = { a: ['x', '${port}'], b: { c: '${name}-${other} $${no}' }, d: 5, e: null };
    const ruleAt = (path: readonly (string | number)[]): SubstitutionRule => (path[0] === 'a' ? 'item' : 'typed');
    expect(mentionsIn(data, ruleAt)).toEqual([
      { path: ['a', 1], rule: 'item', text: '${port}', names: ['port'], whole: true },
      {
        path: ['b', 'c'],
        rule: 'typed',
        text: '${name}-${other} $${no}',
        names: ['name', 'other'],
        whole: false,
      },
    ]);
    expect(substituted(data, values, ruleAt)).toEqual({
      a: ['x', '80'],
      b: { c: 'web-${other} ${no}' },
      d: 5,
      e: null,
    });
  });

  it('is put in once: what a value looks like changes nothing', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(substituted('<${name}>', { name: value }, () => 'typed')).toBe(`<${value}>`);
        expect(substituted(['${name}'], { name: value }, () => 'item')).toEqual([value]);
      }),
    );
  });
});
