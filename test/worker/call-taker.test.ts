import { describe, expect, it } from 'vitest';
import { DomainError } from '../../src/domain/failure.ts';
import { createCallTaker, type CallTakerOptions } from '../../src/worker/call-taker.ts';

const rate = { callsPerSecond: 10, burst: 10 };
const patience = (): AbortSignal => AbortSignal.timeout(10_000);

/** A taker whose account answers when the test says so. */
function taker(change: Partial<CallTakerOptions> = {}) {
  const asked: number[] = [];
  const answers: ((granted: number) => void)[] = [];
  const made = createCallTaker({
    rate: () => rate,
    ask: (calls) => {
      asked.push(calls);
      return new Promise((resolve) => answers.push((granted) => resolve({ granted, waitMs: granted < calls ? 1 : 0 })));
    },
    tellThrottled: async () => undefined,
    ...change,
  });
  const answer = async (granted: number): Promise<void> => {
    await expect.poll(() => answers.length).toBeGreaterThan(0);
    answers.shift()?.(granted);
  };
  return { taker: made, asked, answer };
}

describe('the calls of a worker', () => {
  it('that wait are asked for at once, by one message at a time, and all served', async () => {
    const { taker: calls, asked, answer } = taker();
    const first = calls.take(patience());
    const more = Promise.all(Array.from({ length: 5 }, () => calls.take(patience())));
    await answer(1);
    await first;
    await answer(3);
    await answer(2);
    await more;
    expect(asked).toEqual([1, 5, 2]);
  });

  it('are not asked for where there is no rate, also from when it was taken away', async () => {
    let now: typeof rate | undefined;
    const { taker: calls, asked, answer } = taker({ rate: () => now });
    await calls.take(patience());
    expect(asked).toEqual([]);
    now = rate;
    const waits = [calls.take(patience()), calls.take(patience())];
    await expect.poll(() => asked.length).toBe(1);
    now = undefined;
    await answer(0);
    await Promise.all(waits);
    expect(asked).toEqual([1]);
  });

  it('stop waiting with their own signal, and leave the others theirs', async () => {
    const { taker: calls, answer } = taker();
    const stop = new AbortController();
    const stopped = calls.take(stop.signal);
    const other = calls.take(patience());
    stop.abort(new Error('cancelled'));
    await expect(stopped).rejects.toThrow('cancelled');
    await answer(0);
    await answer(1);
    await other;
    await expect(calls.take(stop.signal)).rejects.toThrow('cancelled');
  });

  it('fail with what the account failed with, and are asked for anew', async () => {
    let fails = true;
    const { taker: calls } = taker({
      ask: async (n) => {
        if (fails) throw new DomainError('ProviderUnavailable', 'no answer');
        return { granted: n, waitMs: 0 };
      },
    });
    const both = await Promise.allSettled([calls.take(patience()), calls.take(patience())]);
    expect(both.map(({ status }) => status)).toEqual(['rejected', 'rejected']);
    fails = false;
    await calls.take(patience());
  });
});
