import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parameterVariable, readParameter, readParameters } from '../../src/domain/parameters.ts';
import type { Parameter } from '../../src/domain/parameters.ts';

const read = (parameter: Omit<Parameter, 'name'>, given: unknown): unknown => {
  const result = readParameter({ name: 'p', ...parameter }, given);
  return 'value' in result ? result.value : result.wrong;
};

describe('the value of a parameter', () => {
  it.each<[Omit<Parameter, 'name'>, unknown, unknown]>([
    [{ type: 'int' }, 7, 7],
    [{ type: 'int' }, '-7', -7],
    [{ type: 'int' }, 1.5, 'expected a whole number, found 1.5'],
    [{ type: 'int' }, '7x', 'expected a whole number, found `7x`'],
    [{ type: 'int' }, true, 'expected a whole number, found true'],
    [{ type: 'int' }, 2 ** 60, `expected a whole number, found ${2 ** 60}`],
    [{ type: 'int', min: 1, max: 4 }, 5, 'must be at most 4, found 5'],
    [{ type: 'int', min: 1 }, '0', 'must be at least 1, found 0'],
    [{ type: 'bool' }, 'false', false],
    [{ type: 'bool' }, true, true],
    [{ type: 'bool' }, 'yes', 'expected true or false, found `yes`'],
    [{ type: 'bool' }, 1, 'expected true or false, found 1'],
    [{ type: 'enum', values: ['small', 'large'] }, 'large', 'large'],
    [
      { type: 'enum', values: ['small', 'large'] },
      'larg',
      'expected small or large, found `larg`; did you mean large?',
    ],
    [{ type: 'enum', values: ['1'] }, 1, 'expected 1, found 1'],
    [{ type: 'string' }, '', ''],
    [{ type: 'string' }, 5, 'expected text, found 5'],
    [{ type: 'string', pattern: '[a-z]+' }, 'abc', 'abc'],
    [{ type: 'string', pattern: 'a|b' }, 'ab', 'must match a|b, found `ab`'],
    [{ type: 'string', pattern: '[a-z]+' }, 'abc\n', 'must match [a-z]+, found `abc\n`'],
    [{ type: 'string', min: 2 }, 'é', 'must be at least 2 characters, found 1'],
    [{ type: 'string', max: 1 }, 'ab', 'must be at most 1 characters, found 2'],
    [{ type: 'string' }, 'a\0b', 'must not hold a NUL'],
    [{ type: 'string' }, 'x'.repeat(4097), 'has 4097 characters, more than 4096'],
  ])('of %j from %j is %j', (parameter, given, expected) => {
    expect(read(parameter, given)).toBe(expected);
  });

  it('given as the text of a value is that value', () => {
    fc.assert(
      fc.property(fc.maxSafeInteger(), (value) => {
        fc.pre(Math.abs(value) < 10 ** 15);
        expect(read({ type: 'int' }, String(value))).toBe(read({ type: 'int' }, value));
      }),
    );
  });
});

describe('the parameters of a request', () => {
  const declared: readonly Parameter[] = [
    { name: 'greeting', type: 'string', default: 'hello' },
    { name: 'port', type: 'int', required: true, summary: 'Where it listens', min: 1024 },
    { name: 'debug', type: 'bool', default: false },
  ];

  it('are the defaults where it is silent, and everything wrong is told at once', () => {
    expect(readParameters(declared, { port: '8080' })).toEqual({
      values: { greeting: 'hello', port: 8080, debug: false },
      mistakes: [],
    });
    expect(readParameters(declared, { greting: 'x', debug: 'no', zzz: 1 }).mistakes).toEqual([
      'unknown parameter `greting`; did you mean greeting?',
      'unknown parameter `zzz`; known: greeting, port, debug',
      'parameter `port` is missing (Where it listens)',
      'parameter `debug` expected true or false, found `no`',
    ]);
    expect(readParameters([], { a: 1 }).mistakes).toEqual(['unknown parameter `a`; the bundle has none']);
  });

  it('never come from what every object has', () => {
    const { mistakes } = readParameters([{ name: 'constructor', type: 'string', required: true }], {});
    expect(mistakes).toEqual(['parameter `constructor` is missing']);
  });

  it('are seen by commands in capitals', () => {
    expect(parameterVariable('node_version')).toBe('SLIPWAY_PARAM_NODE_VERSION');
  });
});
