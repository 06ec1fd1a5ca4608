import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '../src/client/client.ts';
import type { SlipwayClient } from '../src/client/client.ts';

const cli = 'dist/cli/main.js';

/** Runs it with nothing of its output shown but its errors. @throws when its exit code is not 0 */
export function runProgram(
  program: string,
  words: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  return new Promise<void>((resolve, reject) => {
    const child = spawn(program, words, { stdio: ['ignore', 'ignore', 'pipe'], env: { ...process.env, ...env } });
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said = `${said}${chunk.toString()}`.slice(-2_000)));
    child.once('error', reject);
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${program} ${words.join(' ')} exits ${code}: ${said}`)),
    );
  });
}

export interface BenchStack {
  readonly state: string;
  readonly url: string;
  readonly temporal: string;
  readonly client: SlipwayClient;
  /** An authorized request to the API. */
  readonly call: (path: string, init?: RequestInit) => Promise<Response>;
  readonly json: <T>(path: string, init?: RequestInit) => Promise<T>;
  readonly workerPid: () => Promise<number>;
  /** The pids of all of its processes, that of the provider `local` among them. */
  readonly pids: () => Promise<readonly number[]>;
  /** Runs the command line on this stack. @throws when its exit code is not 0 */
  readonly cli: (...words: readonly string[]) => Promise<void>;
  /** Names of the machines that provider local has. */
  readonly machines: () => Promise<readonly string[]>;
  /** Writes slipway.yaml: what the stack was started with, and this. */
  settings(more: string): Promise<void>;
  stop(): Promise<void>;
}

/**
 * A stack of the bench's own, in a folder of its own; a user's stack is never touched.
 * @param base its slipway.yaml @param bundles their files, by name
 */
export async function startBenchStack(base: string, bundles: Readonly<Record<string, string>>): Promise<BenchStack> {
  const root = await mkdtemp(join(tmpdir(), 'slipway-bench-'));
  const state = join(root, '.slipway');
  const settings = (more: string): Promise<void> => writeFile(join(root, 'slipway.yaml'), `${base}${more}`);
  await settings('');
  await mkdir(join(root, 'bundles'));
  for (const [name, text] of Object.entries(bundles)) await writeFile(join(root, 'bundles', `${name}.yaml`), text);
  await runProgram(process.execPath, [cli, 'dev', '--background', '--state', state]);
  const stack = JSON.parse(await readFile(join(state, 'stack.json'), 'utf8')) as {
    api: { url: string };
    temporal: { address: string };
  };
  const token = (await readFile(join(state, 'token'), 'utf8')).trim();
  const call = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(new URL(path, stack.api.url), {
      ...init,
      headers: {
        authorization: `Bearer ${token}`,
        ...(typeof init.body === 'string' ? { 'content-type': 'application/json' } : {}),
        ...(init.headers as Record<string, string> | undefined),
      },
    });
  const runFile = async <T>(name: string): Promise<T> =>
    JSON.parse(await readFile(join(state, 'run', `${name}.json`), 'utf8')) as T;
  const json = async <T>(path: string, init?: RequestInit): Promise<T> => {
    const response = await call(path, init);
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return (await response.json()) as T;
  };
  return {
    state,
    url: stack.api.url,
    temporal: stack.temporal.address,
    client: createClient(async () => ({ url: stack.api.url, token })),
    call,
    json,
    workerPid: async () => (await runFile<{ pid: number }>('worker')).pid,
    pids: async () => [
      ...Object.values(await runFile<Record<string, { pid: number }>>('children')).map(({ pid }) => pid),
      (await runFile<{ pid: number }>('local')).pid,
    ],
    // By the environment: what comes after `--` is the job's.
    cli: (...words) => runProgram(process.execPath, [cli, ...words], { SLIPWAY_STATE: state }),
    machines: () => readdir(join(state, 'local', 'machines')),
    settings,
    async stop() {
      // Machines outlive their stack: those of a section that failed are given back first.
      await settings('');
      for (const { leaseId } of await json<readonly { leaseId: string }[]>('/v1/leases')) {
        await json(`/v1/leases/${leaseId}/cancel`, { method: 'POST', body: '{}' });
        await json(`/v1/leases/${leaseId}?wait=gone`);
      }
      await runProgram(process.execPath, [cli, 'dev', 'stop', '--state', state]);
      await rm(root, { recursive: true, force: true });
    },
  };
}
