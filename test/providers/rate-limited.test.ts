import { expect, it } from 'vitest';
import { DomainError } from '../../src/domain/failure.ts';
import { rateLimited } from '../../src/providers/rate-limited.ts';
import { memoryProvider } from '../support/memory-provider.ts';

const tags = {
  'slipway-installation': 'i',
  'slipway-machine': 'm.1',
  'slipway-lease': 'm',
  'slipway-key': 'k',
} as const;
const spec = { hostname: 'm', variant: {}, hostKey: '', authorizedKeys: [] };
const signal = AbortSignal.timeout(60_000);

it('takes one call for each call that reaches the provider, and none for what asks nobody', async () => {
  let taken = 0;
  const { provider, calls } = memoryProvider();
  const limited = rateLimited(provider, {
    take: async () => void (taken += 1),
    throttled: async () => undefined,
  });
  const ref = await limited.create('k', spec, tags, signal);
  await limited.findByKey('k', signal);
  await limited.get(ref, signal);
  await limited.list('i', signal);
  await limited.destroy(ref, signal);
  expect(calls).toEqual(['create', 'findByKey', 'get', 'list', 'destroy']);
  expect(taken).toBe(calls.length);
  limited.capabilities();
  await limited.close();
  expect(taken).toBe(calls.length);
  expect([limited.reload, limited.rekey, limited.resources]).toEqual([undefined, undefined, undefined]);
});

it('makes no call that it may not make', async () => {
  const { provider, calls } = memoryProvider();
  const limited = rateLimited(provider, {
    take: async () => {
      throw new Error('cancelled while it waited');
    },
    throttled: async () => undefined,
  });
  await expect(limited.get({ id: 'x' }, signal)).rejects.toThrow('cancelled');
  expect(calls).toEqual([]);
});

it('tells the account of a refusal for the rate, and of no other failure', async () => {
  const told: (number | undefined)[] = [];
  const { provider } = memoryProvider();
  let failure = new DomainError('RateLimited', 'slow down', { retryAfterMs: 700 });
  const limited = rateLimited(
    { ...provider, get: () => Promise.reject(failure) },
    { take: async () => undefined, throttled: async (retryAfterMs) => void told.push(retryAfterMs) },
  );
  await expect(limited.get({ id: 'x' }, signal)).rejects.toBe(failure);
  failure = new DomainError('ProviderUnavailable', 'down');
  await expect(limited.get({ id: 'x' }, signal)).rejects.toBe(failure);
  expect(told).toEqual([700]);
});
