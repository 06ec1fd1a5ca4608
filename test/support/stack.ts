import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import type { LeaseRequest, LeaseStatus, MachineStatus } from '../../src/domain/lease.ts';
import type { Stream, TaskResult } from '../../src/domain/task.ts';
import { isAlive, type ProcessIdentity } from '../../src/host/process-identity.ts';
import type { Knobs } from '../../src/providers/local/knobs.ts';
import { clearAway } from './clear-away.ts';
import { turnFaults, type Faults } from './faults.ts';
import { turnKnobs } from './local-knobs.ts';
import { until } from './until.ts';

export type StackProcess = 'worker' | 'api' | 'temporal' | 'local';

/** What is built, seen from the root of the tree: also from where this file is compiled to. */
export const dist = resolve('dist');
const entries = { worker: join(dist, 'worker/main.js'), api: join(dist, 'api/main.js') };

export interface StackOptions {
  /** `SLIPWAY_TUNING`. */
  readonly tuning?: Readonly<Record<string, number>>;
  /** Bundle files beside the state folder, by name. */
  readonly bundles?: Readonly<Record<string, string>>;
  /** `slipway.yaml`. */
  readonly settings?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Other scripts than the built ones. */
  readonly entries?: { readonly worker: string; readonly api: string };
  /** How long a call is tried again while the stack does not answer. */
  readonly patienceMs?: number;
}

export interface View extends LeaseStatus {
  readonly machine?: MachineStatus;
}

export interface Followed {
  readonly out: Buffer;
  readonly err: Buffer;
  readonly result: TaskResult | undefined;
}

export const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');
export const freshId = (prefix: string): string => `${prefix}-${randomBytes(4).toString('hex')}`;

/** All processes of slipway, in a folder of their own, with what a test needs to hold, kill and look at them. */
export async function startTestStack(options: StackOptions = {}) {
  const { patienceMs = 60_000 } = options;
  const root = await mkdtemp(join(tmpdir(), 'slipway-e2e-'));
  const state = join(root, '.slipway');
  await mkdir(join(state, 'local'), { recursive: true, mode: 0o700 });
  turnKnobs(join(state, 'local'), {});
  await mkdir(join(root, 'bundles'), { recursive: true });
  for (const [name, text] of Object.entries(options.bundles ?? {}))
    await writeFile(join(root, 'bundles', `${name}.yaml`), text);
  if (options.settings !== undefined) await writeFile(join(root, 'slipway.yaml'), options.settings);

  const launch = async (): Promise<number> => {
    const given = JSON.stringify({
      state,
      mode: 'background',
      idleMs: 600_000,
      ...(options.entries ?? entries),
    });
    const supervisor = spawn(process.execPath, [join(dist, 'dev/main.js'), given], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env, SLIPWAY_TUNING: JSON.stringify(options.tuning ?? {}) },
    });
    let said = '';
    supervisor.stdout.on('data', (chunk) => (said += String(chunk)));
    supervisor.stderr.on('data', (chunk) => (said += String(chunk)));
    const isUp = async (): Promise<boolean> => {
      if (supervisor.exitCode !== null) throw new Error(`the supervisor ended with ${supervisor.exitCode}:\n${said}`);
      const { pid, api } = await stackFile();
      return pid === supervisor.pid && api !== undefined;
    };
    await until('the stack is up', isUp, patienceMs);
    return supervisor.pid ?? 0;
  };
  const stackFile = async (): Promise<{ pid?: number; api?: { url: string }; temporal: { address: string } }> =>
    JSON.parse(await readFile(join(state, 'stack.json'), 'utf8').catch(() => '{}'));

  let supervisorPid = await launch();
  const token = (await readFile(join(state, 'token'), 'utf8')).trim();
  let connection = await Connection.connect({ address: (await stackFile()).temporal.address });
  let client = new Client({ connection });
  const retired: Connection[] = [];

  const call = async (path: string, init: RequestInit = {}): Promise<Response> => {
    const { api } = await stackFile();
    if (!api) throw new TypeError('fetch failed: no API');
    return fetch(new URL(path, api.url), {
      ...init,
      headers: {
        authorization: `Bearer ${token}`,
        ...(typeof init.body === 'string' ? { 'content-type': 'application/json' } : {}),
        ...(init.headers as Record<string, string> | undefined),
      },
    });
  };
  /** As a patient client does: over a restart of the stack. */
  const patient = async (path: string, init?: RequestInit): Promise<Response> => {
    let untilMs = Date.now() + patienceMs;
    for (;;) {
      const beganMs = Date.now();
      try {
        const response = await call(path, init);
        if (response.ok) return response;
        const text = await response.text();
        if (!isTransient(response) || Date.now() > untilMs)
          throw new Error(`${init?.method ?? 'GET'} ${path}: ${response.status} ${text}`);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error;
        // A call that waited for something was held until its API went: what counts is how long none takes a call.
        if (Date.now() - beganMs > 1_000) untilMs = Date.now() + patienceMs;
        if (Date.now() > untilMs) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
  };
  const json = async <T>(path: string, init?: RequestInit): Promise<T> => (await patient(path, init)).json() as T;
  const post = (path: string, body: unknown = {}): Promise<View> =>
    json(path, { method: 'POST', body: JSON.stringify(body) });
  const inRun = async <T>(name: string): Promise<Partial<T>> =>
    JSON.parse((await readFile(join(state, 'run', `${name}.json`), 'utf8').catch(() => '')) || '{}') as Partial<T>;
  const living = async (name: StackProcess): Promise<ProcessIdentity | undefined> => {
    const { pid, start }: Partial<ProcessIdentity> =
      name === 'local'
        ? await inRun<ProcessIdentity>('local')
        : ((await inRun<Record<string, ProcessIdentity>>('children'))[name] ?? {});
    // Pids come round within minutes on a busy host: a dead one's may be anybody's.
    return pid !== undefined && start !== undefined && isAlive({ pid, start }) ? { pid, start } : undefined;
  };
  /** Of worker and API: as soon as they answer. */
  const pidOf = async (name: StackProcess): Promise<number | undefined> =>
    name === 'temporal' ? (await living(name))?.pid : (await inRun<{ pid: number }>(name)).pid;

  const stack = {
    root,
    state,
    call,
    json,
    post,
    get client(): Client {
      return client;
    },
    create: (request: Omit<LeaseRequest, 'leaseId'> & { leaseId: string }): Promise<View> =>
      json(`/v1/leases/${request.leaseId}`, { method: 'PUT', body: JSON.stringify(request) }),
    get: (leaseId: string): Promise<View> => json(`/v1/leases/${leaseId}`),
    async wait(leaseId: string, what: 'ready' | 'ended' | 'gone'): Promise<View> {
      return json(`/v1/leases/${leaseId}?wait=${what}&timeoutMs=120000`);
    },
    runTask: (leaseId: string, taskId: string, spec: unknown): Promise<unknown> =>
      json(`/v1/leases/${leaseId}/tasks/${taskId}`, { method: 'PUT', body: JSON.stringify(spec) }),

    /** Follows to the end over any number of cuts, by offset. */
    async follow(leaseId: string, taskId = 'job', onBytes?: (total: number) => void): Promise<Followed> {
      const got = { 1: [] as Buffer[], 2: [] as Buffer[] };
      const at = { 1: 0, 2: 0 };
      // Not the job's own time: each look that brings nothing counts.
      let untilMs = Date.now() + patienceMs;
      while (Date.now() < untilMs) {
        try {
          const response = await call(`/v1/leases/${leaseId}/tasks/${taskId}/follow?out=${at[1]}&err=${at[2]}`);
          if (!response.ok) {
            if (!isTransient(response))
              throw new Error(`follow ${leaseId}/${taskId}: ${response.status} ${await response.text()}`);
          } else {
            let pending: Buffer = Buffer.alloc(0);
            for await (const chunk of response.body ?? []) {
              pending = Buffer.concat([pending, chunk as Uint8Array]);
              while (pending.length >= 13 && pending.length >= 13 + pending.readUInt32BE(9)) {
                const kind = pending.readUInt8(0);
                const offset = Number(pending.readBigUInt64BE(1));
                const bytes = pending.subarray(13, 13 + pending.readUInt32BE(9));
                pending = pending.subarray(13 + bytes.length);
                if (kind === 0) {
                  return {
                    out: Buffer.concat(got[1]),
                    err: Buffer.concat(got[2]),
                    result: JSON.parse(bytes.toString()) as TaskResult,
                  };
                }
                if (kind === 3) {
                  const { status, detail } = JSON.parse(bytes.toString()) as { status: number; detail: string };
                  if (status !== 503) throw new Error(`follow ${leaseId}/${taskId}: ${status} ${detail}`);
                }
                if (kind !== 1 && kind !== 2) continue;
                const fresh = bytes.subarray(Math.max(0, at[kind] - offset));
                got[kind].push(Buffer.from(fresh));
                at[kind] += fresh.length;
                // An empty frame only says that the connection lives.
                untilMs = Date.now() + patienceMs;
                if (fresh.length > 0) onBytes?.(at[1] + at[2]);
              }
            }
          }
        } catch (error) {
          if (error instanceof Error && error.message.startsWith('follow ')) throw error;
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      throw new Error(`the follow of ${leaseId}/${taskId} never ended`);
    },

    /** Uploads bytes; answers their digest. */
    async blob(bytes: Uint8Array): Promise<string> {
      const digest = sha256(bytes);
      const headers = { 'content-type': 'application/octet-stream' };
      await patient(`/v1/blobs/${digest}`, { method: 'PUT', body: bytes, headers });
      return digest;
    },
    /** What is stored of a task's stream. */
    output: async (leaseId: string, taskId: string, stream: Stream): Promise<Buffer> =>
      Buffer.from(await (await patient(`/v1/leases/${leaseId}/tasks/${taskId}/${stream}`)).arrayBuffer()),

    pidOf,
    async killHard(name: StackProcess): Promise<number> {
      const victim = await living(name);
      if (!victim) throw new Error(`no ${name} lives`);
      process.kill(victim.pid, 'SIGKILL');
      return victim.pid;
    },
    async killSupervisor(): Promise<void> {
      process.kill(supervisorPid, 'SIGKILL');
      await until('the supervisor is gone', async () => !alive(supervisorPid));
    },
    async restart(): Promise<void> {
      supervisorPid = await launch();
      // Closed at the end: a call that the SDK is about to try again would throw out of a timer, and end this process.
      retired.push(connection);
      connection = await Connection.connect({ address: (await stackFile()).temporal.address });
      client = new Client({ connection });
    },
    /** What goes wrong with calls to `local` from now on; none: nothing. */
    faults: (...rules: Faults[string]): void => turnFaults(state, { local: rules }),
    async knobs(knobs: Knobs): Promise<void> {
      turnKnobs(join(state, 'local'), { idleMs: 300, ...knobs });
    },
    /** Machines that the provider still has. */
    async machinesLeft(): Promise<string[]> {
      const report = await post('/v1/sweep', {});
      const { orphans, owned } = report as unknown as { orphans: { machineId: string }[]; owned: number };
      return [...orphans.map(({ machineId }) => machineId), ...Array.from({ length: owned }, () => 'owned')];
    },
    /** @param keep the folder stays, to be looked at */
    async stop({ keep = false } = {}): Promise<void> {
      for (const each of [...retired, connection]) await each.close();
      if (alive(supervisorPid)) process.kill(supervisorPid, 'SIGTERM');
      await until('the supervisor has stopped', async () => !alive(supervisorPid), 60_000);
      const local = await living('local');
      if (local) process.kill(local.pid, 'SIGTERM');
      if (local) await until('the local provider has ended', () => !isAlive(local), 30_000);
      await clearAway(state);
      if (!keep) await rm(root, { recursive: true, force: true });
    },
    logs: async (): Promise<string> => {
      const names = await readdir(join(state, 'log')).catch(() => []);
      const texts = await Promise.all(names.map((name) => readFile(join(state, 'log', name), 'utf8')));
      return texts.join('\n');
    },
  };
  return stack;
}

export type TestStack = Awaited<ReturnType<typeof startTestStack>>;

/** 401: the token is right, so a stack of another test has taken the port of an API that was killed. */
const isTransient = ({ status }: Response): boolean => status === 503 || status === 401;

export function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
