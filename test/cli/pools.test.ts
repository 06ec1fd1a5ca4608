import { afterAll, beforeAll, expect, it } from 'vitest';
import { freshId } from '../api/api-bench.ts';
import { startApiPool } from '../support/api-pool.ts';
import { startCliBench } from './cli-bench.ts';
import type { CliBench } from './cli-bench.ts';

let cli: CliBench;
beforeAll(async () => (cli = await startCliBench()));
afterAll(() => cli.stop());

const stdout = async (...args: string[]): Promise<string> => (await cli.run(args)).stdout;

it('pools are listed, shown, set and drained, and a run says that it waits, and that its machine was warm', async () => {
  const none = await cli.run(['pool', 'list']);
  expect(none).toMatchObject({ code: 0, stderr: expect.stringContaining('No pools.') as string });
  const pool = await startApiPool(cli.api, 'web', { target: 1, ceiling: 1 });
  await expect
    .poll(() => stdout('pool', 'list'), { timeout: 20_000 })
    .toMatch(/^POOL +BUNDLE +STATE +WARM +TARGET .*\nweb +hello +open +1 +1 /);
  expect(await stdout('pool', 'show', 'web')).toMatch(
    /^web · bundle hello · open\n  keeps     1 warm, 1 at most\n  typically made in .*\n  machine   web\+1 · fake · warm /,
  );
  cli.api.mistakes.push({ file: '/b/hello.yaml', line: 3, col: 5, path: 'commands', message: 'must be a list' });
  for (const words of [['list'], ['show', 'web']]) {
    expect((await cli.run(['pool', ...words])).stderr).toContain('/b/hello.yaml:3:5   commands: must be a list\n');
  }
  cli.api.mistakes.length = 0;
  const id = freshId();
  await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id]);
  expect(await stdout('lease', 'show', id)).toContain('machine   web+1 · fake · ready');
  const next = freshId();
  cli.api.jobs.set(`${next}/job`, () => Promise.resolve(0));
  const waiting = cli.start(['run', '--bundle', 'hello', '--id', next, '--', 'true']);
  await waiting.stderr.holds('queued         place 1 of 1 in pool web · ');
  expect(await stdout('pool', 'show', 'web')).toMatch(/\n  waits     1\. lease \S+ · owner tester · for \d+ s · /);
  await cli.run(['lease', 'release', id, '--wait']);
  expect(await waiting.code).toBe(0);
  expect(waiting.stderr.text).toMatch(/✔ ready in .* \(warm\) · hello on fake/);

  expect(await cli.run(['pool', 'set', 'web'])).toMatchObject({ code: 2 });
  expect(await cli.run(['pool', 'set', 'web', '--target', '2'])).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('above the ceiling of 1') as string,
  });
  expect(await stdout('pool', 'set', 'web', '--target', '2', '--ceiling', '3')).toContain(
    'keeps     2 warm, 3 at most (set by hand)',
  );
  expect(JSON.parse(await stdout('pool', 'set', 'web', '--reset', '--json'))).toMatchObject({ target: 1, set: {} });
  expect(await stdout('pool', 'drain', 'web', '--reason', 'new image')).toMatch(
    /^web · bundle hello · drain(ing|ed)\n  why       new image\n/,
  );
  expect(await cli.run(['pool', 'show', 'nope'])).toMatchObject({ code: 3 });
  await pool.stop();
}, 90_000);
