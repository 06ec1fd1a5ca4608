import { expect, it } from 'vitest';
import { refusalOf } from '../../src/api/problem.ts';
import { mistakesFailure } from '../../src/config/yaml-mistakes.ts';
import { DomainError, textParts, wholeText } from '../../src/domain/failure.ts';

it('mistakes of a file are told with their places, those of a request by their keys', () => {
  const at = { file: '/etc/slipway/bundles/web.yaml', line: 3, col: 15 };
  const mistakes = [
    { ...at, path: 'ready', message: 'expected steps' },
    { ...at, line: 4, path: '', message: 'unknown key `sumary`' },
  ];
  const { problem } = refusalOf(mistakesFailure('Bundle `web` has', mistakes, 'mend it'), 'r1');
  expect(problem).toMatchObject({
    status: 400,
    issues: [
      { path: 'ready', message: 'expected steps', at: 'web.yaml:3:15' },
      { path: '', message: 'unknown key `sumary`', at: 'web.yaml:4:15' },
    ],
  });
  const request = new DomainError('InvalidRequest', 'two', {
    details: { mistakes: ['one', { path: 'b', message: 'two' }] },
  });
  expect(refusalOf(request, 'r2').problem.issues).toEqual([
    { path: '', message: 'one' },
    { path: 'b', message: 'two' },
  ]);
});

it.each([
  ['cancelled by a server that went in the middle of it', 1],
  ['not answered in time', 4],
  ['refused while no worker polls', 9],
  ['made while there is no server', 14],
])('a call that was %s is asked again by its caller', (_what, code) => {
  // As the SDK throws it.
  const cause = Object.assign(new Error('of gRPC'), { code, details: 'of gRPC', metadata: {} });
  const { problem, bug } = refusalOf(new Error('Failed to query Workflow', { cause }), 'r3');
  expect([problem.status, problem.retryAfterMs, bug]).toEqual([503, 1_000, false]);
});

it('a message and its hint survive being one text', () => {
  for (const [message, hint] of [
    ['there is no folder /x', 'Make it first.'],
    ['No bundle.', 'slipway bundle list'],
  ] as const) {
    const parts = textParts(wholeText({ message, hint }));
    expect(parts.hint).toBe(hint);
    expect(parts.message.replace(/\.$/, '')).toBe(message.replace(/\.$/, ''));
  }
  expect(textParts(wholeText({ message: 'alone' }))).toEqual({ message: 'alone' });
});
