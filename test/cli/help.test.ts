import { describe, expect, it } from 'vitest';
import { examples } from '../../src/cli/examples.ts';
import { assignment, duration, fileFlag } from '../../src/cli/parse.ts';
import { spokenBytes, spokenMs } from '../../src/cli/output/units.ts';
import { start } from './cli-bench.ts';

const run = async (args: readonly string[], options: Parameters<typeof start>[1] = {}) => {
  const running = start(args, options);
  return { code: await running.code, stdout: running.stdout.text, stderr: running.stderr.text };
};

describe('help', () => {
  it.each(Object.keys(examples))('of %s starts with examples that the program takes', async (path) => {
    const words = path === 'slipway' ? [] : path.split(' ');
    const { code, stdout } = await run([...words, '--help']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Examples\n {2}(\w|=)/);
    expect(stdout).toContain('Usage: slipway');
    expect((await run(['help', ...words])).stdout).toBe(stdout);
  });

  it('on topics says the exit codes and the environment', async () => {
    expect((await run(['help', 'exit-codes'])).stdout).toContain('124     stopped at its time limit');
    expect((await run(['help', 'environment'])).stdout).toContain('SLIPWAY_TOKEN_FILE');
    expect(await run(['help', 'nothing'])).toMatchObject({ code: 2 });
  });

  it('is pointed to by a mistake, which exits 2', async () => {
    expect(await run(['lease', 'frobnicate'])).toMatchObject({ code: 2, stdout: '' });
    const { code, stderr } = await run(['lease', 'list', '--limit', 'x']);
    expect([code, stderr]).toEqual([2, expect.stringContaining('Try: slipway lease list --help')]);
    expect((await run(['lease', 'show', '--json'])).stdout).toContain('"type": "InvalidRequest"');
  });
});

it('without a stack a command says how to get one, and exits 6', async () => {
  const { code, stderr } = await run(['lease', 'list'], { stack: { findStack: async () => undefined } });
  expect(code).toBe(6);
  expect(stderr).toMatch(/✗ No stack runs for .*\n {2}Try: slipway dev --background/);
});

it('a bug shows its stack with --debug', async () => {
  const broken = async (): Promise<undefined> => {
    throw new TypeError('oh');
  };
  expect(await run(['lease', 'list'], { stack: { findStack: broken } })).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('--debug') as string,
  });
  expect((await run(['lease', 'list', '--debug'], { stack: { findStack: broken } })).stderr).toContain('help.test.ts');
});

describe('flags', () => {
  it('a slip in the name of a required one is answered with the near name', async () => {
    expect(await run(['run', '--bundel', 'hello', '--', 'true'])).toMatchObject({
      code: 125,
      stderr: "✗ unknown option '--bundel'\n(Did you mean --bundle?)\n  Try: slipway run --help\n",
    });
    expect(await run(['run', '--', 'true'])).toMatchObject({
      code: 125,
      stderr: "✗ required option '-b, --bundle <name>' not specified\n  Try: slipway run --help\n",
    });
  });

  it('durations', () => {
    expect(['250ms', '30s', '5m', '1h30m', '2d', '1.5h'].map(duration)).toEqual([
      250, 30_000, 300_000, 5_400_000, 172_800_000, 5_400_000,
    ]);
    for (const wrong of ['', '5', 's', '5x', '-5s', '5 s', '0s'])
      expect(() => duration(wrong)).toThrow('write a duration');
  });

  it('files', () => {
    expect(fileFlag('build.sh:/opt/build.sh')).toEqual({ local: 'build.sh', path: '/opt/build.sh' });
    expect(fileFlag('a:b:~/c:0755:ci:www')).toEqual({
      local: 'a:b',
      path: '~/c',
      mode: '0755',
      owner: 'ci',
      group: 'www',
    });
    expect(fileFlag('x:/y::ci')).toEqual({ local: 'x', path: '/y', owner: 'ci' });
    expect(() => fileFlag('x')).toThrow('write local:');
    expect(() => fileFlag('x:relative')).toThrow('write local:');
  });

  it('variables', () => {
    expect(assignment('A=b=c')).toEqual({ name: 'A', value: 'b=c' });
    expect(assignment('A')).toEqual({ name: 'A', value: undefined });
    expect(() => assignment('1A=x')).toThrow('NAME=value');
  });
});

it('times and sizes are said shortly', () => {
  expect([21, 1_400, 59_960, 192_000, 3_900_000, 97_200_000].map(spokenMs)).toEqual([
    '21 ms',
    '1.4 s',
    '1 m',
    '3 m 12 s',
    '1 h 5 m',
    '1 d 3 h',
  ]);
  expect([42, 4_200, 12_000, 1_800_000, 999_999].map(spokenBytes)).toEqual([
    '42 B',
    '4.2 KB',
    '12 KB',
    '1.8 MB',
    '1.0 MB',
  ]);
});
