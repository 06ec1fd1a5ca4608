import { createHmac } from 'node:crypto';
import type { lookup } from 'node:dns';
import type { ServerResponse } from 'node:http';
import { ApplicationFailure } from '@temporalio/common';
import { MockActivityEnvironment } from '@temporalio/testing';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import type { Notice } from '../../src/activities/activities.ts';
import { notifyActivities } from '../../src/activities/notify.ts';
import { post, signingKey } from '../../src/activities/webhook.ts';
import { DomainError } from '../../src/domain/failure.ts';
import { startReceiver } from '../support/receiver.ts';

const receiver = await startReceiver();
const other = await startReceiver();
afterAll(() => Promise.all([receiver.stop(), other.stop()]));

const keyBytes = Buffer.from('0123456789abcdef0123456789abcdef');
const whsec = `whsec_${keyBytes.toString('base64')}`;
let secret = whsec;
let allow: readonly string[] | undefined;
beforeEach(() => {
  secret = whsec;
  allow = undefined;
  receiver.answer(204);
});

const { notify } = notifyActivities({
  secrets: {
    value: async (_, name) => {
      if (name === 'hook') return secret;
      throw new DomainError('InvalidRequest', `No secret \`${name}\`.`);
    },
    forget: async () => undefined,
  },
  notifyAllow: async () => allow,
});
const body: Notice['body'] = {
  type: 'lease.ended',
  timestamp: '2026-01-01T00:00:00.000Z',
  data: { leaseId: 'web', state: 'released', bundle: { name: 'hello' }, attempts: [], times: { requested: '…€' } },
};
const notice = (url: string, name = 'hook'): Notice => ({
  leaseId: 'web',
  event: 'ended',
  webhookId: 'run-ended',
  target: { url, secret: name },
  body,
});
const attempt = (given: Notice, tries = 1) => new MockActivityEnvironment({ attempt: tries }).run(notify, given);
async function failure(given: Notice, tries = 1): Promise<ApplicationFailure> {
  const error: unknown = await attempt(given, tries).catch((thrown: unknown) => thrown);
  if (!(error instanceof ApplicationFailure)) throw new Error('it did not fail so', { cause: error });
  return error;
}

describe('a call', () => {
  it('is a signed POST of JSON, with the same id and body and the time of its own at every try', async () => {
    const before = receiver.calls.length;
    expect(await attempt(notice(receiver.url))).toEqual({ status: 204, tries: 1 });
    expect(await attempt(notice(receiver.url), 7)).toEqual({ status: 204, tries: 7 });
    const calls = receiver.calls.slice(before);
    expect(calls.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /hook/t0ken?a=b',
      'POST /hook/t0ken?a=b',
    ]);
    for (const { headers, body: text } of calls) {
      expect(JSON.parse(text)).toEqual(body);
      expect(headers).toMatchObject({ 'content-type': 'application/json', 'webhook-id': 'run-ended' });
      const stamp = Number(headers['webhook-timestamp']);
      expect(Math.abs(stamp - Date.now() / 1_000)).toBeLessThan(60);
      const signed = createHmac('sha256', keyBytes).update(`run-ended.${stamp}.${text}`).digest('base64');
      expect(headers['webhook-signature']).toBe(`v1,${signed}`);
    }
  });

  it.each([
    ['text', Buffer.from('text')],
    ['whsec_AAEC', Buffer.from([0, 1, 2])],
    ['whsec_AAE=', Buffer.from([0, 1])],
  ])('is signed with the bytes of a secret, or what is base64 after whsec_: %s', (text, key) => {
    expect(Buffer.from(signingKey('hook', text))).toEqual(key);
  });

  it.each(['', 'whsec_', 'whsec_no base64!'])(
    'is not made with a secret that is no key (%j), and is tried again, for the operator may mend it',
    async (text) => {
      secret = text;
      const before = receiver.calls.length;
      const failed = await failure(notice(receiver.url));
      expect([failed.type, failed.nonRetryable]).toEqual(['Internal', false]);
      expect(failed.message).toMatch(/^Secret `hook` is no key to sign with: .*whsec_/);
      if (text !== '') expect(failed.message).not.toContain('no base64!');
      expect(receiver.calls.length).toBe(before);
    },
  );

  it('is not made with a secret that is not there', async () => {
    const failed = await failure(notice(receiver.url, 'hock'));
    expect([failed.type, failed.nonRetryable]).toEqual(['InvalidRequest', true]);
  });
});

describe('an answer', () => {
  it.each([200, 202, 299])('of %i is enough, whatever its body', async (status) => {
    receiver.next((answer) => {
      answer.writeHead(status);
      // It never ends, and more of it comes than anybody reads.
      answer.write(Buffer.alloc(4_000_000));
    });
    expect(await attempt(notice(receiver.url))).toEqual({ status, tries: 1 });
  });

  it.each([500, 503, 408, 429])('of %i is tried again', async (status) => {
    receiver.next(status);
    const failed = await failure(notice(receiver.url));
    expect([failed.type, failed.nonRetryable, failed.nextRetryDelay]).toEqual(['NotifyUnanswered', false, undefined]);
    expect(failed.message).toBe(`${receiver.origin} was not told: it answered ${status}.`);
  });

  it('that says when to come again is listened to, unless that is sooner than by itself', async () => {
    const busy = (seconds: string) => (answer: ServerResponse) =>
      answer.writeHead(429, { 'retry-after': seconds }).end();
    receiver.next(busy('90'), busy('0'));
    expect((await failure(notice(receiver.url), 3)).nextRetryDelay).toBe(90_000);
    expect((await failure(notice(receiver.url), 3)).nextRetryDelay).toBe(4_000);
  });

  it('that sends it elsewhere is not followed', async () => {
    receiver.next((answer) => answer.writeHead(307, { location: other.url }).end());
    const failed = await failure(notice(receiver.url));
    expect([failed.type, failed.nonRetryable]).toEqual(['NotifyRefused', true]);
    expect(failed.message).toBe(
      `${receiver.origin} answered 307: redirects are not followed. Try: give the final URL.`,
    );
    expect(other.calls).toEqual([]);
  });

  it.each([400, 404, 410])('of %i is the last one', async (status) => {
    receiver.next(status);
    const failed = await failure(notice(receiver.url));
    expect([failed.type, failed.nonRetryable]).toEqual(['NotifyRefused', true]);
    expect(failed.message).toContain(`${receiver.origin} answered ${status}`);
    expect(failed.message).not.toContain('t0ken');
  });
});

describe('no answer', () => {
  const pending = new AbortController().signal;

  it('because nobody listens, or the connection breaks, is tried again', async () => {
    const gone = await startReceiver();
    await gone.stop();
    expect((await failure(notice(gone.url))).message).toBe(`${gone.origin} was not told: ECONNREFUSED.`);
    receiver.next((answer) => answer.socket?.destroy());
    const broken = await failure(notice(receiver.url));
    expect([broken.type, broken.nonRetryable]).toEqual(['NotifyUnanswered', false]);
    expect(broken.message).toContain('ECONNRESET');
  });

  it('in time is tried again', async () => {
    receiver.next(() => undefined);
    const late = post(new URL(receiver.url), '{}', {}, pending, { tryMs: 200 });
    await expect(late).rejects.toMatchObject({
      type: 'NotifyUnanswered',
      message: `${receiver.origin} was not told: no answer within 0.2 s.`,
    });
  });

  it('is not waited for by an activity that is cancelled', async () => {
    const stopped = new AbortController();
    receiver.next(() => stopped.abort(new Error('enough')));
    await expect(post(new URL(receiver.url), '{}', {}, stopped.signal)).rejects.toThrow('enough');
  });
});

describe('a host', () => {
  it('that the operator does not allow any more is not called', async () => {
    allow = ['hooks.example.com'];
    const before = receiver.calls.length;
    const failed = await failure(notice(receiver.url));
    expect([failed.type, failed.nonRetryable]).toEqual(['NotifyRefused', true]);
    expect(failed.message).toContain(`127.0.0.1:${receiver.port} is not among the hosts that may be called`);
    expect(receiver.calls.length).toBe(before);
    allow = [`127.0.0.1:${receiver.port}`];
    expect(await attempt(notice(receiver.url))).toMatchObject({ status: 204 });
  });

  it('whose name leads to an address that is never called is not connected to', async () => {
    const resolve = ((_host: string, _options: unknown, answer: (error: null, found: unknown) => void) =>
      answer(null, [
        { address: '127.0.0.1', family: 4 },
        { address: '169.254.169.254', family: 4 },
      ])) as unknown as typeof lookup;
    const before = receiver.calls.length;
    const url = new URL(`http://hooks.example.com:${receiver.port}/`);
    await expect(post(url, '{}', {}, new AbortController().signal, { resolve })).rejects.toMatchObject({
      type: 'NotifyRefused',
      message: `${url.origin} is at 169.254.169.254, an address that is never called (link-local).`,
    });
    expect(receiver.calls.length).toBe(before);
  });

  it('by name is called where it resolves to', async () => {
    expect(await attempt(notice(receiver.url.replace('127.0.0.1', 'localhost')))).toMatchObject({ status: 204 });
  });
});
