import { execFile, spawn } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const cli = 'dist/cli/main.js';

export interface BenchStack {
  readonly state: string;
  readonly url: string;
  readonly temporal: string;
  /** An authorized request to the API. */
  readonly call: (path: string, init?: RequestInit) => Promise<Response>;
  readonly json: <T>(path: string, init?: RequestInit) => Promise<T>;
  readonly workerPid: () => Promise<number>;
  /** Names of the machines that provider local has. */
  readonly machines: () => Promise<readonly string[]>;
  stop(): Promise<void>;
}

/** A stack of the bench's own, in a folder of its own; a user's stack is never touched. */
export async function startBenchStack(): Promise<BenchStack> {
  const root = await mkdtemp(join(tmpdir(), 'slipway-bench-'));
  const state = join(root, '.slipway');
  await new Promise<void>((resolve, reject) => {
    const starting = spawn(process.execPath, [cli, 'dev', '--background', '--state', state], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    starting.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`slipway dev --background exits ${code}`)),
    );
  });
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
  return {
    state,
    url: stack.api.url,
    temporal: stack.temporal.address,
    call,
    async json<T>(path: string, init?: RequestInit): Promise<T> {
      const response = await call(path, init);
      if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
      return (await response.json()) as T;
    },
    workerPid: async () =>
      (JSON.parse(await readFile(join(state, 'run', 'worker.json'), 'utf8')) as { pid: number }).pid,
    machines: () => readdir(join(state, 'local', 'machines')),
    async stop() {
      await run(process.execPath, [cli, 'dev', 'stop', '--state', state]);
      await rm(root, { recursive: true, force: true });
    },
  };
}
