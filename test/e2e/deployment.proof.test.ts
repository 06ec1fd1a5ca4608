import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { taskWorkflowId } from '../../src/domain/ids.ts';
import type { PidFile } from '../../src/providers/local/protocol.ts';
import { clearAway } from '../support/clear-away.ts';
import { turnKnobs } from '../support/local-knobs.ts';
import { dist, freshId, type View } from '../support/stack.ts';
import { sharedTemporal } from '../support/temporal.ts';
import { until } from '../support/until.ts';

// The processes of a deployment as docker-compose.yml starts them: by the same commands, without a supervisor of ours.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

const namespace = `deployment-${process.pid}`;
let root: string;
let state: string;
let token: string;
let connection: Connection;
let client: Client;
const started: Program[] = [];

interface Program {
  readonly child: ChildProcess;
  readonly out: () => string;
  readonly err: () => string;
  readonly code: Promise<number | NodeJS.Signals>;
}

function slipway(args: readonly string[], env: Readonly<Record<string, string>> = {}): Program {
  const { address } = sharedTemporal();
  const child = spawn(process.execPath, [join(dist, 'cli/main.js'), ...args], {
    cwd: root,
    env: {
      ...process.env,
      SLIPWAY_STATE: state,
      TEMPORAL_ADDRESS: address,
      TEMPORAL_NAMESPACE: namespace,
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { out: '', err: '' };
  child.stdout.on('data', (chunk: Buffer) => (said.out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (said.err += chunk.toString()));
  const code = new Promise<number | NodeJS.Signals>((resolve) =>
    child.once('close', (exit, signal) => resolve(exit ?? signal ?? 'SIGKILL')),
  );
  const program = { child, out: () => said.out, err: () => said.err, code };
  started.push(program);
  return program;
}

const readyFile = (name: string): string => join(root, `${name}.ready`);

/** Started, and seen ready. */
async function serve(part: 'api' | 'worker' | 'local', name: string, ...flags: string[]): Promise<Program> {
  await rm(readyFile(name), { force: true });
  const program = slipway(['serve', part, '--ready-file', readyFile(name), ...flags]);
  await until(`${name} is ready`, () => {
    if (program.child.exitCode !== null) throw new Error(`${name} ended: ${program.err()}${program.out()}`);
    return existsSync(readyFile(name));
  });
  return program;
}

const logOf = (program: Program): Record<string, unknown>[] =>
  program
    .out()
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);

let url = '';
async function serveApi(): Promise<Program> {
  const api = await serve('api', 'api', '--listen', '127.0.0.1:0');
  await until('the API says where', () => /"url":".*API ready/.test(api.out()));
  url = String(logOf(api).find(({ msg }) => msg === 'API ready')?.['url']);
  return api;
}
const call = async <T>(path: string, body?: unknown, method = 'PUT'): Promise<T> => {
  const response = await fetch(new URL(path, url), {
    method: body === undefined ? 'GET' : method,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
  return (response.headers.get('content-type')?.includes('json') === true ? JSON.parse(text) : text) as T;
};

const pidFile = async (): Promise<PidFile> =>
  JSON.parse(await readFile(join(state, 'run', 'local.json'), 'utf8')) as PidFile;

const job = {
  command: { shell: 'for i in $(seq 60); do echo line $i; echo err $i >&2; sleep 0.1; done; exit 7' },
};
const lines = (word: string): string => Array.from({ length: 60 }, (_, i) => `${word} ${i + 1}\n`).join('');

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'slipway-deployment-'));
  state = join(root, '.slipway');
  await mkdir(join(root, 'bundles'));
  await writeFile(join(root, 'bundles', 'bare.yaml'), 'variants: [{provider: local}]\n');
  turnKnobs(join(state, 'local'), {});
  connection = await Connection.connect({ address: sharedTemporal().address });
  client = new Client({ connection, namespace });
});
afterAll(async () => {
  for (const { child } of started) child.kill('SIGKILL');
  await Promise.all(started.map(({ code }) => code));
  // What a red test has left is destroyed by a process that ends by itself.
  await rm(join(state, 'run', 'local.json'), { force: true });
  await clearAway(state);
  await connection.close();
  await rm(root, { recursive: true, force: true });
});

describe('a deployment that is not prepared', () => {
  it('is refused by every process, with what to do', async () => {
    const program = slipway(['serve', 'worker']);
    expect(await program.code).toBe(3);
    expect(program.err()).toContain('slipway setup');
  });

  it('is refused without a Temporal server', async () => {
    const program = slipway(['setup', '--json'], {
      TEMPORAL_ADDRESS: '',
      TEMPORAL_CONFIG_FILE: join(root, 'none.toml'),
    });
    expect(await program.code).toBe(2);
    expect(JSON.parse(program.out())).toMatchObject({ error: { type: 'InvalidRequest' } });
  });
});

describe('a deployment', () => {
  it('is prepared once, however many prepare it at once', async () => {
    const setups = [slipway(['setup', '--json']), slipway(['setup', '--json'])];
    expect(await Promise.all(setups.map(({ code }) => code))).toEqual([0, 0]);
    const [one, other] = setups.map((each) => JSON.parse(each.out()) as unknown);
    expect(one).toEqual(other);
    expect(one).toMatchObject({ state, temporal: { namespace }, notes: [] });
    const { config, namespaceInfo } = await connection.workflowService.describeNamespace({ namespace });
    expect(Number(config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 86_400);
    expect(namespaceInfo?.data).toMatchObject({
      'slipway-installation': (one as { installation: string }).installation,
    });
    expect((await stat(join(state, 'installation.key'))).mode & 0o777).toBe(0o600);
    token = (await readFile(join(state, 'token'), 'utf8')).trim();
  });

  it('does a job whose worker is killed in the middle: the other goes on, each byte once', async () => {
    const local = await serve('local', 'local');
    const workers = [await serve('worker', 'worker-1'), await serve('worker', 'worker-2')];
    const api = await serveApi();
    const leaseId = freshId('deploy');
    await call<View>(`/v1/leases/${leaseId}`, { bundle: 'bare', job });

    // Whoever follows the job is killed.
    const followed = client.workflow.getHandle(taskWorkflowId(leaseId, 'job'));
    let follower = '';
    await until('output comes', async () => {
      const out = await call<string>(`/v1/leases/${leaseId}/tasks/job/stdout`).catch(() => '');
      if (!out.includes('line 5\n')) return false;
      const { raw } = await followed.describe();
      follower = raw.pendingActivities?.[0]?.lastWorkerIdentity ?? '';
      return follower !== '';
    });
    const [victim, other] = follower.split('@')[0] === String(workers[0]?.child.pid) ? workers : workers.toReversed();
    expect(follower.split('@')[0]).toBe(String(victim?.child.pid));
    victim?.child.kill('SIGKILL');

    const ended = await call<View>(`/v1/leases/${leaseId}?wait=gone&timeoutMs=100000`);
    expect(ended).toMatchObject({
      state: 'released',
      tasks: [{ taskId: 'job', result: { exitCode: 7, lost: false } }],
    });
    expect(await call(`/v1/leases/${leaseId}/tasks/job/stdout`)).toBe(lines('line'));
    expect(await call(`/v1/leases/${leaseId}/tasks/job/stderr`)).toBe(lines('err'));
    // Nobody but the service held machines.
    expect(await pidFile()).toMatchObject({ pid: local.child.pid, served: true });

    // All that they said is JSON lines; each ends in order when it is told to, and is no longer ready.
    for (const [name, program] of Object.entries({ api, worker: other, local })) {
      program?.child.kill('SIGTERM');
      expect([name, await program?.code]).toEqual([name, 0]);
      if (program) expect(logOf(program).every(({ level }) => typeof level === 'number')).toBe(true);
    }
    for (const name of ['api', 'local']) expect(existsSync(readyFile(name))).toBe(false);
  });

  it('keeps the machines of a local service that was killed: nobody starts another, and the next one has them', async () => {
    const first = await serve('local', 'local');
    await serve('worker', 'worker');
    await serveApi();
    const second = slipway(['serve', 'local']);
    expect(await second.code).toBe(5);
    expect(second.err()).toContain('Another process of provider local');
    const taken = slipway(['serve', 'api', '--listen', new URL(url).host]);
    expect(await taken.code).toBe(6);
    expect(taken.err()).toContain('cannot listen');

    const leaseId = freshId('deploy');
    await call<View>(`/v1/leases/${leaseId}`, { bundle: 'bare' });
    await call<View>(`/v1/leases/${leaseId}?wait=ready&timeoutMs=60000`);
    first.child.kill('SIGKILL');
    await first.code;
    const checked = call<readonly { ok: boolean }[]>('/v1/providers');
    const next = await serve('local', 'local');
    expect(await checked).toContainEqual(expect.objectContaining({ name: 'local', ok: true }));
    expect(await pidFile()).toMatchObject({ pid: next.child.pid, served: true });
    await call<View>(`/v1/leases/${leaseId}/tasks/after`, { command: ['echo', 'still here'] });
    await until('the task has ended', async () =>
      (await call<string>(`/v1/leases/${leaseId}/tasks/after/stdout`).catch(() => '')).includes('still here'),
    );
    await call<View>(`/v1/leases/${leaseId}/release`, {}, 'POST');
    await call<View>(`/v1/leases/${leaseId}?wait=gone&timeoutMs=60000`);
  });
});
