import { expect, test } from 'vitest';
import { coolDown, isCooling, type CoolDown } from '../../src/domain/cool-down.ts';

const place = 'ec2/zone-a/m1';
const out = (all: readonly CoolDown[], nowMs: number, jitter = 0.5, retryAfterMs?: number): readonly CoolDown[] =>
  coolDown(all, { place, firstMs: 30_000, jitter, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) }, nowMs);
const lengths = (all: readonly CoolDown[]): readonly number[] => all.map(({ untilMs }) => untilMs);

test('a place without capacity cools down, from three quarters to five quarters of its time', () => {
  expect(lengths(out([], 0, 0))).toEqual([22_500]);
  expect(lengths(out([], 0, 0.5))).toEqual([30_000]);
  expect(lengths(out([], 0, 0.999))).toEqual([37_485]);
});

test('many who meet the same stockout start one cool-down', () => {
  const first = out([], 0);
  expect(out(first, 1_000)).toBe(first);
  expect(isCooling(first[0] as CoolDown, 29_999)).toBe(true);
  expect(isCooling(first[0] as CoolDown, 30_000)).toBe(false);
});

test('a stockout soon after the last one cools down for twice as long, up to a quarter of an hour', () => {
  let all: readonly CoolDown[] = [];
  let nowMs = 0;
  const waits: number[] = [];
  for (let n = 0; n < 8; n += 1) {
    all = out(all, nowMs);
    const untilMs = all[0]?.untilMs ?? 0;
    waits.push((untilMs - nowMs) / 1_000);
    nowMs = untilMs + 1;
  }
  expect(waits).toEqual([30, 60, 120, 240, 480, 900, 900, 900]);
});

test('a stockout long after the last one starts anew', () => {
  const first = out([], 0);
  expect(lengths(out(first, 60_000))).toEqual([90_000]);
  expect(lengths(out(first, 59_999))).toEqual([119_999]);
});

test('what the provider asked for is waited at least', () => {
  expect(lengths(out([], 0, 0.5, 120_000))).toEqual([120_000]);
  expect(lengths(out([], 0, 0.5, 1_000))).toEqual([30_000]);
});

test('places cool down each by itself', () => {
  const both = coolDown(out([], 0), { place: 'ec2/zone-b/m1', firstMs: 30_000, jitter: 0.5 }, 10_000);
  expect(both.map((each) => [each.place, each.untilMs])).toEqual([
    [place, 30_000],
    ['ec2/zone-b/m1', 40_000],
  ]);
});
