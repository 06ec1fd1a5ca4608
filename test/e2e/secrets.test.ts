import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { decoded } from '../support/decoded.ts';
import { freshId, startTestStack, type TestStack } from '../support/stack.ts';

const run = promisify(execFile);
const operator = 'op-secret-7f3a91c2d4e5';
const callers = 'caller-secret-19b8c7d6e5f4';
const inFile = 'file-secret-55aa66bb77cc';
const planted = 'public-value-0a1b2c3d4e5f';
// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;

beforeAll(async () => {
  stack = await startTestStack({
    env: { OPERATORS_SECRET: operator },
    settings: 'secrets:\n  deploy:\n    env: OPERATORS_SECRET\n',
    bundles: {
      secretive: `variants:
  - provider: local
commands:
  - run: [sh, -c, 'test -n "$DEPLOY"']
    secretEnv:
      DEPLOY: deploy
`,
    },
  });
});
afterAll(() => stack.stop());

/** Every place where a value could have been left, as one text each; payloads are decoded. */
async function places(leaseId: string): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  for await (const { workflowId, runId } of stack.client.workflow.list()) {
    const history = await stack.client.workflow.getHandle(workflowId, runId).fetchHistory();
    found.set(`history ${workflowId}`, Buffer.from(decoded(history)));
  }
  for (const name of await readdir(stack.state)) {
    if (name.startsWith('temporal.db')) found.set(name, await readFile(join(stack.state, name)));
  }
  found.set('logs', Buffer.from(await stack.logs()));
  found.set('local log', await readFile(join(stack.state, 'local', 'local.log')).catch(() => Buffer.alloc(0)));
  found.set('status', Buffer.from(JSON.stringify(await stack.get(leaseId))));
  return found;
}

it('a secret is found in no history, database, log or argv, while a public value is', async () => {
  const leaseId = freshId('secret');
  for (const [name, value] of [['MINE', callers]] as const) {
    const response = await stack.call(`/v1/leases/${leaseId}/secrets/${name}`, {
      method: 'PUT',
      body: value,
      headers: { 'content-type': 'application/octet-stream' },
    });
    expect(response.ok).toBe(true);
  }
  const blob = await stack.blob(Buffer.from(inFile));
  await stack.create({
    leaseId,
    bundle: 'secretive',
    files: [{ blob, sha256: blob, path: '~/secret-file', mode: '0600' }],
    job: {
      command: ['sh', '-c', 'printf "%s %s %s\\n" "$DEPLOY" "$MINE" "$PUBLIC" | sha256sum; sleep 2'],
      env: { PUBLIC: planted },
      secretEnv: { DEPLOY: 'deploy', MINE: 'lease:MINE' },
      stdin: { blob },
    },
  });
  const argvs: string[] = [];
  const sampled = new AbortController();
  const sampling = (async () => {
    while (!sampled.signal.aborted) {
      argvs.push((await run('ps', ['-eo', 'args', 'ww'])).stdout);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  })();
  const { out, result } = await stack.follow(leaseId);
  sampled.abort();
  await sampling;
  expect(result?.exitCode).toBe(0);
  const { createHash } = await import('node:crypto');
  const expected = createHash('sha256').update(`${operator} ${callers} ${planted}\n`).digest('hex');
  expect(out.toString()).toContain(expected);
  await stack.wait(leaseId, 'gone');

  const found = await places(leaseId);
  found.set('argv', Buffer.from(argvs.join('\n')));
  const where = (value: string): string[] =>
    [...found].filter(([, bytes]) => bytes.includes(value)).map(([place]) => place);
  expect(where(operator)).toEqual([]);
  expect(where(callers)).toEqual([]);
  expect(where(inFile)).toEqual([]);
  expect(where(planted)).toEqual(expect.arrayContaining([`history lease/${leaseId}`, `history task/${leaseId}/job`]));
  expect(await readdir(join(stack.state, 'sealed')).catch(() => [])).toEqual([]);
});
