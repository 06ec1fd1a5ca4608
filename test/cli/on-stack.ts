import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TestStack } from '../support/stack.ts';
import { start, type RunOptions } from './cli-bench.ts';

/** The program as a person starts it who has the address and the token of a stack. */
export async function onStack({ state }: Pick<TestStack, 'state'>, args: readonly string[], options: RunOptions = {}) {
  const { api } = JSON.parse(await readFile(join(state, 'stack.json'), 'utf8')) as { api: { url: string } };
  const env = { SLIPWAY_URL: api.url, SLIPWAY_TOKEN_FILE: join(state, 'token'), ...options.env };
  const running = start(args, { ...options, env });
  return {
    ...running,
    ended: running.code.then((code) => ({ code, out: running.stdout.text, err: running.stderr.text })),
  };
}
