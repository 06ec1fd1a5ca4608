import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { freshId } from '../api/api-bench.ts';
import { startCliBench } from './cli-bench.ts';
import type { CliBench, RunOptions } from './cli-bench.ts';

let cli: CliBench;
beforeAll(async () => (cli = await startCliBench()));
afterAll(() => cli.stop());

/** The library prints for itself. */
async function printed(args: readonly string[], options?: RunOptions): Promise<readonly string[]> {
  const log = vi.spyOn(console, 'log').mockImplementation(() => undefined);
  try {
    expect(await cli.run(args, options)).toMatchObject({ code: 0, stderr: '' });
    return log.mock.calls.map(([line]) => String(line));
  } finally {
    log.mockRestore();
  }
}
const offered = async (...words: string[]): Promise<readonly string[]> =>
  (await printed(['complete', '--', ...words])).slice(0, -1).map((line) => line.split('\t')[0] ?? '');

describe('completion', () => {
  it('offers commands, options and the values of options', async () => {
    expect(await offered('lea')).toEqual(['lease']);
    expect(await offered('lease', '')).toContain('ssh');
    expect(await offered('lease', '')).not.toContain('complete');
    expect(await offered('task', 'logs', '--str')).toEqual(['--stream']);
    expect(await offered('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  it('offers the bundles and leases of the stack, and nothing when there is none', async () => {
    const id = freshId();
    await cli.run(['lease', 'create', '--bundle', 'hello', '--id', id, '--no-wait']);
    await expect.poll(() => offered('lease', 'show', '')).toContain(id);
    expect(await offered('task', 'list', id.slice(0, 3))).toContain(id);
    expect(await offered('run', '--bundle', 'h')).toEqual(['hello']);
    await cli.run(['lease', 'cancel', id, '--wait']);
    const nowhere = { env: { SLIPWAY_URL: 'http://127.0.0.1:1' } };
    expect(await printed(['complete', '--', 'run', '--bundle', ''], nowhere)).toEqual([':4']);
  });

  it.each(['bash', 'zsh', 'fish'])('prints a script for %s', async (shell) => {
    const script = (await printed(['completion', shell])).join('\n');
    expect(script).toContain('slipway complete --');
    if (shell === 'bash') execFileSync('bash', ['-n'], { input: script });
  });

  it('of another shell is refused', async () => {
    expect(await cli.run(['completion', 'tcsh'])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('bash, zsh, fish') as string,
    });
  });
});
