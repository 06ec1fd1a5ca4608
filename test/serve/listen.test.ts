import { expect, it } from 'vitest';
import { isLoopback, listenAddress } from '../../src/serve/listen.ts';

it('the API listens on loopback unless it is told an address', () => {
  expect(listenAddress(undefined)).toEqual({ host: '127.0.0.1' });
  expect(listenAddress('')).toEqual({ host: '127.0.0.1' });
  expect(listenAddress('4801')).toEqual({ host: '127.0.0.1', port: 4801 });
  expect(listenAddress('0.0.0.0:4800')).toEqual({ host: '0.0.0.0', port: 4800 });
  expect(listenAddress('[::]:4800')).toEqual({ host: '::', port: 4800 });
  expect(listenAddress('api.internal:80')).toEqual({ host: 'api.internal', port: 80 });
});

it.each(['0.0.0.0', '[::]', '::', '[nonsense]:80', ':4800', 'host:', 'host:99999', 'http://host:80', 'a:b:1'])(
  'what is no address to listen at is refused: %s',
  (text) => {
    expect(() => listenAddress(text)).toThrow('is no address to listen at');
  },
);

it('an address that others reach is told from loopback', () => {
  expect(['127.0.0.1', '127.9.9.9', '::1', 'localhost'].map(isLoopback)).toEqual([true, true, true, true]);
  expect(['0.0.0.0', '::', '10.0.0.1', 'localhost.example'].map(isLoopback)).toEqual([false, false, false, false]);
});
