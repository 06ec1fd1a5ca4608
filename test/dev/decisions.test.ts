import { describe, expect, test } from 'vitest';
import { look, lookEveryMs, notIdle, type Idle } from '../../src/dev/idle.ts';
import { afterEnd, noLives, type Lives } from '../../src/dev/restart-policy.ts';
import { dynamicConfig, serverArguments } from '../../src/dev/temporal-settings.ts';
import { compareVersions, isRecentEnough, parseTemporalVersion } from '../../src/dev/temporal-version.ts';

describe('a process that ends by itself', () => {
  test('is started again after 0.2 s, then ever later up to 5 s, for as long as it gets ready', () => {
    const delays: number[] = [];
    let lives: Lives = noLives;
    for (let n = 0; n < 8; n += 1) {
      const next = afterEnd(lives, 50);
      if (next.act === 'give-up') throw new Error('given up');
      delays.push(next.delayMs);
      lives = next.lives;
    }
    expect(delays).toEqual([200, 400, 800, 1600, 3200, 5000, 5000, 5000]);
  });

  test('is started again soon when it had been healthy', () => {
    expect(afterEnd({ failedStarts: 3, quickEnds: 7 }, 60_000)).toMatchObject({ act: 'restart', delayMs: 200 });
  });

  test('is given up when it was not ready five times in a row', () => {
    let lives: Lives = noLives;
    for (let n = 1; n < 5; n += 1) {
      const next = afterEnd(lives, undefined);
      if (next.act === 'give-up') throw new Error(`given up after ${n}`);
      lives = next.lives;
    }
    expect(afterEnd(lives, undefined)).toEqual({ act: 'give-up', failedStarts: 5 });
  });

  test('is not given up when a ready life lies between its failed starts', () => {
    expect(afterEnd({ failedStarts: 4, quickEnds: 4 }, 1)).toMatchObject({ lives: { failedStarts: 0 } });
  });
});

describe('a stack without work', () => {
  const run = (looks: readonly (readonly [number, boolean])[], idleMs: number) => {
    let idle: Idle = notIdle;
    return looks.map(([now, busy]) => {
      const seen = look(idle, now, busy, idleMs);
      idle = seen.idle;
      return seen.end;
    });
  };

  test('ends at the second look that sees no work for long enough, never at the first', () => {
    expect(run([[10_000, false]], 0)).toEqual([false]);
    expect(run([[0, false], [500, false], [1000, false]], 1000)).toEqual([false, false, true]); // prettier-ignore
  });

  test('begins to count anew when work was seen', () => {
    expect(run([[0, false], [900, true], [1000, false], [1900, false], [2000, false]], 1000)).toEqual([false, false, false, false, true]); // prettier-ignore
  });

  test('is looked at often enough for a short span and rarely for a long one', () => {
    expect([100, 5_000, 300_000].map(lookEveryMs)).toEqual([200, 1_000, 15_000]);
  });
});

describe('the version of a Temporal CLI', () => {
  test.each([
    ['temporal version 1.5.0 (Server 1.29.1, UI 2.42.1)', true],
    ['temporal version 1.8.2 (Server 1.31.2, UI 2.50.1)', true],
    ['temporal version 2.0.0-rc.1 (Server 2.0.0, UI 3.0.0)', true],
    ['temporal version 0.0.0-DEV (Server 1.31.2, UI 2.50.1)', true],
    ['temporal version 0.0.0-DEV (Server 1.26.0, UI 2.30.0)', false],
    ['temporal version 1.4.1 (Server 1.28.0, UI 2.39.0)', false],
    ['temporal version 0.13.2 (Server 1.24.2) (UI 2.28.0)', false],
  ])('%s: recent enough is %s', (text, expected) => {
    const version = parseTemporalVersion(`${text}\n`);
    expect(version !== undefined && isRecentEnough(version)).toBe(expected);
  });

  test('is not read out of what says something else', () => {
    expect(parseTemporalVersion('tctl version 1.18.0\n')).toBeUndefined();
  });

  test('is compared by number, not by letter', () => {
    expect(compareVersions('1.10.0', '1.9.9')).toBeGreaterThan(0);
    expect(compareVersions('v1.9', '1.9.0')).toBe(0);
  });
});

describe('the arguments of the server', () => {
  test('keep everything on loopback, with every setting as JSON', () => {
    const args = serverArguments({ port: 1, uiPort: 2, database: '/a b.db' });
    const values = (flag: string) => args.filter((_, i) => args[i - 1] === flag);
    expect(values('--ip')).toEqual(['127.0.0.1']);
    expect(values('--ui-ip')).toEqual(['127.0.0.1']);
    expect(values('--db-filename')).toEqual(['/a b.db']);
    expect(values('--sqlite-pragma')).toEqual(['journal_mode=WAL', 'synchronous=NORMAL']);
    expect(values('--dynamic-config-value')).toHaveLength(Object.keys(dynamicConfig).length);
    expect(values('--dynamic-config-value')).toContain('history.timerProcessorMaxTimeShift="10ms"');
  });

  test('name no file and no UI for a server in memory', () => {
    const args = serverArguments({ port: 1 });
    expect(args).toContain('--headless');
    expect(args.join(' ')).not.toMatch(/db-filename|sqlite|ui-port/);
  });
});
