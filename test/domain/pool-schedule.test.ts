import { describe, expect, test } from 'vitest';
import { cronMistake, periodsOf } from '../../src/domain/pool-schedule.ts';

const at = (iso: string): number => Date.parse(iso);
const iso = (ms: number): string => new Date(ms).toISOString().slice(0, 16);
const hourMs = 3_600_000;

const spans = (rule: Parameters<typeof periodsOf>[0][number], from: string, most = 5): string[] =>
  periodsOf([rule], at(from))
    .list.slice(0, most)
    .map(({ fromMs, untilMs }) => `${iso(fromMs)} ${iso(untilMs)}`);

describe('a schedule', () => {
  test('has the period in force first, and those of the days to come', () => {
    const rule = { cron: '0 8 * * 1-5', forMs: 10 * hourMs, target: 3 };
    // A Friday at noon.
    expect(spans(rule, '2026-01-09T12:00:00Z', 3)).toEqual([
      '2026-01-09T08:00 2026-01-09T18:00',
      '2026-01-12T08:00 2026-01-12T18:00',
      '2026-01-13T08:00 2026-01-13T18:00',
    ]);
    expect(spans(rule, '2026-01-09T18:00:00Z', 1)).toEqual(['2026-01-12T08:00 2026-01-12T18:00']);
    expect(spans(rule, '2026-01-09T08:00:00Z', 1)).toEqual(['2026-01-09T08:00 2026-01-09T18:00']);
  });

  test('keeps to the clock on the wall when that is put forward', () => {
    const rule = { cron: '0 8 * * *', until: '0 18 * * *', timezone: 'Europe/Berlin', target: 3 };
    expect(spans(rule, '2026-03-28T20:00:00Z', 2)).toEqual([
      '2026-03-29T06:00 2026-03-29T16:00',
      '2026-03-30T06:00 2026-03-30T16:00',
    ]);
    expect(spans(rule, '2026-03-28T10:00:00Z', 1)).toEqual(['2026-03-28T07:00 2026-03-28T17:00']);
    // The night in which it happens is an hour shorter by the wall, and not by elapsed time.
    const night = { cron: '0 22 * * *', timezone: 'Europe/Berlin', target: 1 };
    expect(spans({ ...night, until: '0 6 * * *' }, '2026-03-28T20:00:00Z', 1)).toEqual([
      '2026-03-28T21:00 2026-03-29T04:00',
    ]);
    expect(spans({ ...night, forMs: 8 * hourMs }, '2026-03-28T20:00:00Z', 1)).toEqual([
      '2026-03-28T21:00 2026-03-29T05:00',
    ]);
  });

  test('has a period whose hour is left out that day when the clock has jumped, and each day once', () => {
    const rule = { cron: '30 2 * * *', forMs: hourMs, timezone: 'Europe/Berlin', target: 1 };
    expect(spans(rule, '2026-03-28T12:00:00Z', 2)).toEqual([
      '2026-03-29T01:00 2026-03-29T02:00',
      '2026-03-30T00:30 2026-03-30T01:30',
    ]);
    expect(spans(rule, '2026-10-24T12:00:00Z', 2)).toEqual([
      '2026-10-25T00:30 2026-10-25T01:30',
      '2026-10-26T01:30 2026-10-26T02:30',
    ]);
  });

  test('says until when it knows, so that it can be asked again', () => {
    const from = at('2026-01-09T12:00:00Z');
    const dense = periodsOf([{ cron: '* * * * *', forMs: 30_000, target: 1 }], from);
    expect(dense.list.length).toBeLessThanOrEqual(101);
    expect(dense.knownUntilMs).toBeGreaterThan(from + 90 * 60_000);
    expect(dense.knownUntilMs).toBe(from + 100 * 60_000);
    const yearly = periodsOf([{ cron: '0 0 1 1 *', forMs: hourMs, target: 1 }], from);
    expect(yearly).toEqual({ list: [], knownUntilMs: from + 8 * 24 * hourMs });
  });

  test('names what is wrong with an expression or a time zone', () => {
    expect(cronMistake('0 8 * * 1-5', 'America/New_York')).toBeUndefined();
    expect(cronMistake('61 * * * *')).toContain('Invalid value for minute: 61');
    expect(cronMistake('0 0 8 * * *')).toContain('exactly 5 parts');
    expect(cronMistake('every day')).toBeDefined();
    expect(cronMistake('0 0 30 2 *')).toBe('it never comes');
    expect(cronMistake('0 8 * * *', 'Mars/Olympus')).toContain('Mars/Olympus');
  });
});
