import { describe, expect, it } from 'vitest';
import { hostOf, isAllowed, isNeverCalled, verdictOf } from '../../src/domain/notify.ts';

const nowMs = Date.parse('2026-01-01T00:00:00Z');
const verdict = (status: number, retryAfter?: string, tries = 1) => verdictOf(status, retryAfter, tries, nowMs);

describe('an answer', () => {
  it.each([200, 201, 202, 204, 299])('of %i says that it is taken', (status) => {
    expect(verdict(status)).toEqual({ do: 'done' });
  });

  it.each([408, 429, 500, 502, 503, 599])('of %i is asked for again', (status) => {
    expect(verdict(status)).toEqual({ do: 'tryAgain' });
  });

  it.each([
    ['0', 1_000],
    ['30', 30_000],
    ['999999999', 3_600_000],
    ['Thu, 01 Jan 2026 00:02:00 GMT', 120_000],
    ['Wed, 31 Dec 2025 00:00:00 GMT', 1_000],
    ['soon', undefined],
  ])('with Retry-After: %s is waited for as long as that says, an hour at most', (retryAfter, afterMs) => {
    const again = { do: 'tryAgain', ...(afterMs === undefined ? {} : { afterMs }) };
    expect(verdict(429, retryAfter)).toEqual(again);
    expect(verdict(503, retryAfter)).toEqual(again);
  });

  it.each([
    [1, 1_000],
    [4, 8_000],
    [20, 900_000],
    [5_000, 900_000],
  ])('at try %i that says: at once, is waited for as long as without that', (tries, afterMs) => {
    expect(verdict(503, '0', tries)).toEqual({ do: 'tryAgain', afterMs });
  });

  it.each([
    [301, 'answered 301: redirects are not followed'],
    [302, 'answered 302: redirects are not followed'],
    [308, 'answered 308: redirects are not followed'],
    [400, 'answered 400'],
    [401, 'answered 401'],
    [404, 'answered 404'],
    [410, 'answered 410: it is told no more'],
  ])('of %i ends it', (status, why) => {
    expect(verdict(status, '5')).toMatchObject({ do: 'giveUp', why });
  });
});

describe('an address', () => {
  it.each([
    '169.254.169.254',
    '169.254.0.1',
    '0xa9fea9fe',
    '2852039166',
    '100.100.100.200',
    '[fe80::1]',
    '[febf::1]',
    '[fd00:ec2::254]',
    '[::ffff:169.254.169.254]',
    '[::ffff:a9fe:1]',
  ])('of the network itself is never called: %s', (host) => {
    expect(isNeverCalled(hostOf(new URL(`http://${host}/`)))).toBe(true);
    expect(isAllowed(new URL(`http://${host}/`), undefined)).toBe(false);
    expect(isAllowed(new URL(`http://${host}/`), [new URL(`http://${host}/`).hostname])).toBe(false);
  });

  it.each(['::ffff:169.254.1.1', 'fe80::1%eth0', 'FE80::1'])('is known as a resolver writes it: %s', (address) => {
    expect(isNeverCalled(address)).toBe(true);
  });

  it.each([
    '127.0.0.1',
    '10.0.0.1',
    '169.253.0.1',
    '[::1]',
    '[fd00::1]',
    '[fec0::1]',
    '[2001:db8::fe80]',
    'fe80.example',
  ])('of a dispatcher may be called: %s', (host) => {
    expect(isAllowed(new URL(`http://${host}/`), undefined)).toBe(true);
  });
});

describe('the hosts that an operator allows', () => {
  const allow = ['hooks.example.com', 'ci.example.org:8443', '*.example.net', '[::1]', '10.0.0.7:80'];
  it.each([
    'https://hooks.example.com/a',
    'http://HOOKS.example.com:8080/',
    'https://ci.example.org:8443/',
    'https://a.b.example.net/',
    'http://[::1]:3000/',
    'http://10.0.0.7/',
  ])('take %s', (url) => {
    expect(isAllowed(new URL(url), allow)).toBe(true);
  });

  it.each([
    'https://example.com/',
    'https://hooks.example.com.evil.example/',
    'https://ci.example.org/',
    'https://example.net/',
    'https://evilexample.net/',
    'http://127.0.0.1/',
    'https://10.0.0.7/',
    'http://hooks.example.com@127.0.0.1/',
  ])('do not take %s', (url) => {
    expect(isAllowed(new URL(url), allow)).toBe(false);
  });

  it('are none at all when the list is empty', () => {
    expect(isAllowed(new URL('http://127.0.0.1/'), [])).toBe(false);
  });
});
