import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { fullAtMs, fullBucket, pauseCalls, takeCalls } from '../../src/domain/token-bucket.ts';

const aRate = fc.record({
  callsPerSecond: fc.constantFrom(0.1, 0.5, 1, 3, 10, 250),
  burst: fc.integer({ min: 1, max: 20 }),
});
const steps = fc.array(
  fc.record({ afterMs: fc.integer({ min: 0, max: 5_000 }), n: fc.integer({ min: 1, max: 30 }), paused: fc.boolean() }),
  { maxLength: 60 },
);

describe('a token bucket', () => {
  test('never grants more than its burst and its rate over any span of time', () => {
    fc.assert(
      fc.property(aRate, steps, (rate, all) => {
        let bucket = fullBucket(rate, 0);
        let nowMs = 0;
        const grants: { atMs: number; n: number }[] = [];
        for (const { afterMs, n, paused } of all) {
          nowMs += afterMs;
          if (paused) bucket = pauseCalls(bucket, nowMs, 700);
          const taken = takeCalls(rate, bucket, n, nowMs);
          expect(taken.granted).toBeLessThanOrEqual(n);
          expect(taken.granted).toBeGreaterThanOrEqual(0);
          expect(taken.waitMs > 0).toBe(taken.granted < n);
          if (paused) expect(taken.granted).toBe(0);
          bucket = taken.bucket;
          grants.push({ atMs: nowMs, n: taken.granted });
        }
        grants.forEach((first, i) => {
          let sum = 0;
          for (const { atMs, n } of grants.slice(i)) {
            sum += n;
            const most = rate.burst + (rate.callsPerSecond * (atMs - first.atMs)) / 1_000;
            expect(sum).toBeLessThanOrEqual(most + 1e-6);
          }
        });
      }),
    );
  });

  test('has calls for who comes back when it said, if nobody else took them', () => {
    fc.assert(
      fc.property(aRate, fc.integer({ min: 1, max: 100 }), (rate, n) => {
        let left = n;
        let nowMs = 0;
        let bucket = pauseCalls(fullBucket(rate, 0), 0, 500);
        for (let tries = 0; left > 0; tries += 1) {
          expect(tries).toBeLessThanOrEqual(n + 1);
          const taken = takeCalls(rate, bucket, left, nowMs);
          if (nowMs > 0) expect(taken.granted).toBeGreaterThanOrEqual(1);
          bucket = taken.bucket;
          left -= taken.granted;
          nowMs += taken.waitMs;
        }
        expect(takeCalls(rate, bucket, rate.burst, Math.max(nowMs, fullAtMs(rate, bucket))).granted).toBe(rate.burst);
      }),
    );
  });

  test('asks those who want more than a second’s worth to come each second, not for each call', () => {
    const rate = { callsPerSecond: 10, burst: 20 };
    const first = takeCalls(rate, fullBucket(rate, 0), 200, 0);
    expect(first).toMatchObject({ granted: 20, waitMs: 1_000 });
    expect(takeCalls(rate, first.bucket, 180, 1_000)).toMatchObject({ granted: 10, waitMs: 1_000 });
  });

  test('with a clock that goes back neither refills nor forgets', () => {
    const rate = { callsPerSecond: 1, burst: 2 };
    const { bucket } = takeCalls(rate, fullBucket(rate, 10_000), 2, 10_000);
    expect(takeCalls(rate, bucket, 1, 5_000)).toMatchObject({ granted: 0 });
    expect(takeCalls(rate, bucket, 1, 11_000)).toMatchObject({ granted: 1 });
  });

  test('that is made smaller has no more than its burst', () => {
    const bucket = fullBucket({ callsPerSecond: 1, burst: 50 }, 0);
    expect(takeCalls({ callsPerSecond: 1, burst: 3 }, bucket, 10, 0).granted).toBe(3);
  });
});
