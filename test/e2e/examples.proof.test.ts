import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { devEnvironment } from '../../src/config/dev-environment.ts';
import { findTemporal } from '../../src/dev/temporal-find.ts';
import type { TaskSpec } from '../../src/domain/task.ts';
import { dist, freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { until } from '../support/until.ts';
// @ts-expect-error a script of the package, without types
import { pythonSdkFolder } from '../../scripts/python-sdk.mjs';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

const root = dirname(dist);
const python = (pythonSdkFolder as (cache: string) => string)(devEnvironment().cacheFolder);
const dispatchers = [
  { name: 'TypeScript', words: [process.execPath, join(root, '.examples', 'dispatcher.js')], missing: false },
  { name: 'Python', words: ['python3', join(root, 'examples', 'dispatcher.py')], missing: !existsSync(python) },
] as const;

interface StackFile {
  readonly temporal: { readonly address: string };
}

let stack: TestStack;
let tools: string;
let address: string;
const environment = () => ({
  ...process.env,
  TEMPORAL_ADDRESS: address,
  PYTHONPATH: python,
  PATH: `${tools}:${process.env['PATH']}`,
});
beforeAll(async () => {
  const compiler = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  await promisify(execFile)(process.execPath, [compiler, '-p', 'tsconfig.examples.json'], { cwd: root });
  tools = await mkdtemp(join(tmpdir(), 'slipway-tools-'));
  const { path } = await findTemporal({ environment: devEnvironment(), onProgress: () => undefined });
  await symlink(path, join(tools, 'temporal'));
  stack = await startTestStack({ bundles: { bare: 'variants: [{provider: local}]\n' } });
  ({ address } = (JSON.parse(await readFile(join(stack.state, 'stack.json'), 'utf8')) as StackFile).temporal);
});
afterAll(async () => {
  await stack.stop();
  await rm(tools, { recursive: true, force: true });
});

function start(words: readonly string[]) {
  const [program = '', ...rest] = words;
  const child: ChildProcess = spawn(program, rest, { env: environment(), stdio: ['ignore', 'pipe', 'pipe'] });
  const said = { out: '', err: '' };
  child.stdout?.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const code = new Promise<number | NodeJS.Signals | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (exit, signal) => resolve(signal ?? exit));
  });
  return { child, said, code };
}

describe.each(dispatchers)('the dispatcher in $name', ({ words, missing }) => {
  it.skipIf(missing)('asks, waits, follows and exits as the job did', async () => {
    const lease = freshId('ask');
    const job = ['sh', '-c', 'echo out 1; echo err 1 >&2; sleep 2; echo out 2; exit 3'];
    const { said, code } = start([...words, lease, 'bare', ...job]);
    expect(await code).toBe(3);
    expect(said.out).toBe('out 1\nout 2\n');
    expect(said.err).toMatch(new RegExp(`^lease ${lease} asked for\nready: .+@.+:\\d+ SHA256:`));
    expect(said.err).toContain('err 1\n');
    expect(said.err).toMatch(new RegExp(`lease ${lease} released\n$`));
    await stack.wait(lease, 'gone');
  });

  it.skipIf(missing)('that is killed and started again gets the same lease', async () => {
    const lease = freshId('again');
    const job = ['sh', '-c', 'echo one >>~/runs; while [ ! -e ~/go ]; do sleep 0.1; done; cat ~/runs'];
    const first = start([...words, lease, 'bare', ...job]);
    await until('it is ready', () => first.said.err.includes('ready: '), 60_000);
    first.child.kill('SIGKILL');
    await first.code;
    const second = start([...words, lease, 'bare', ...job]);
    await until('it has found its lease', () => second.said.err.includes('is there already'), 60_000);
    const go: TaskSpec = { command: { shell: 'touch ~/go' } };
    await until(
      'its job runs',
      async () => (await stack.json<readonly unknown[]>(`/v1/leases/${lease}/tasks`)).length > 0,
      60_000,
    );
    await stack.runTask(lease, 'go', go);
    expect(await second.code).toBe(0);
    expect(second.said.out).toBe('one\n');
    await stack.wait(lease, 'gone');
    expect(await start([...words, lease, 'bare', ...job]).code).toBe(0);
  });

  it.skipIf(missing)('hears why there was no machine', async () => {
    const lease = freshId('none');
    const { said, code } = start([...words, lease, 'no-such-bundle', 'true']);
    expect(await code).toBe(125);
    expect(said.err).toMatch(/failed: No bundle `no-such-bundle`/);
  });
});

it('the lines of the temporal CLI ask, wait, look and end, and may be run again', async () => {
  const lease = freshId('cli');
  const lines = [join(root, 'examples', 'temporal-cli.sh'), lease, 'bare'];
  for (let n = 0; n < 2; n += 1) {
    const { said, code } = start(lines);
    expect(await code).toBe(0);
    expect(said.out).toMatch(/"?exitCode"?:\s*3/);
    expect(said.out).toContain('Linux');
  }
  await stack.wait(lease, 'gone');
});
