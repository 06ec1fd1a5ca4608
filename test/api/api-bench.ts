import { mkdtemp, rm } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { InjectOptions } from 'fastify';
import { ApplicationFailure } from '@temporalio/common';
import { pino } from 'pino';
import { updateAccount } from '../../src/activities/account-updates.ts';
import type { Activities } from '../../src/activities/activities.ts';
import type { ApiDeps } from '../../src/api/deps.ts';
import type { BundleMistake } from '../../src/contract/bundle-views.ts';
import { createApi } from '../../src/api/server.ts';
import { defaultTuning } from '../../src/domain/tuning.ts';
import { DomainError } from '../../src/domain/failure.ts';
import { taskKey } from '../../src/domain/ids.ts';
import type { ProviderState } from '../../src/domain/reuse.ts';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { createFetchedStore } from '../../src/output/fetched-store.ts';
import { createFileOutputStore } from '../../src/output/file-output-store.ts';
import { FakeWorld, fakeResult } from '../support/fake-world.ts';
import { memoryProvider } from '../support/memory-provider.ts';
import { startTestTemporal } from '../support/temporal.ts';
import { startWorkflowBench } from '../support/workflow-bench.ts';

export const token = 'test-token';
/** By token. */
const owners: Readonly<Record<string, string>> = { [token]: 'tester', 'token-of-ana': 'ana', 'token-of-ci': 'ci' };
export const port = 4800;

/** What a fake job does: writes its output, and then says its exit code. */
export type Job = (write: (stream: 'stdout' | 'stderr', text: string | Uint8Array) => Promise<void>) => Promise<number>;

/** The API over real workflows on the tests' server, with activities in memory and real stores in a folder. */
export async function startApiBench(change: Partial<ApiDeps> = {}) {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-api-'));
  const world = new FakeWorld();
  const outputs = createFileOutputStore(join(folder, 'output'));
  const blobs = createFileBlobStore(join(folder, 'blobs'));
  const fetched = createFetchedStore(join(folder, 'fetched'));
  const sealed = new Map<string, string>();
  const jobs = new Map<string, Job>();
  const mistakes: BundleMistake[] = [];

  const fake = world.activities();
  const quota = { machines: 1 };
  /** How the provider says that its machines stand, and what they say. */
  const provider = {
    state: 'running' as ProviderState,
    console: '',
    userData: '#cloud-config\n{"hostname":"web","password":"P"}\n',
  };
  const provided: ReturnType<ApiDeps['provider']> = {
    capabilities: () => ({ ...memoryProvider().provider.capabilities(), console: true, userData: true }),
    findByKey: async (key) => ({ key }),
    get: async () => ({ state: provider.state }),
    console: async (_ref, maxBytes) => provider.console.slice(-maxBytes),
    userData: {
      read: async () => provider.userData,
      update: async (_ref, text) => void (provider.userData = text),
    },
  };
  const reserve: Activities['reserveQuota'] = ({ account, ask }) => {
    const to = { workflows: bench.client.workflow, taskQueue: bench.taskQueue, tuning: defaultTuning };
    return updateAccount(to, account, 'reserve', { ask, quota });
  };
  const activities: Activities = {
    ...fake,
    reserveQuota: reserve,
    awaitQuota: async (input) => {
      const answer = await reserve(input);
      if (answer.state !== 'queued') return answer;
      throw ApplicationFailure.create({ type: 'CapacityUnavailable', message: answer.why, nextRetryDelay: 60_000 });
    },
    followTask: async (input) => {
      const key = taskKey(input.leaseId, input.taskId);
      const job = jobs.get(key);
      if (!job) return fake.followTask(input);
      const writer = await outputs.open(key, 1_000_000_000);
      const at = { stdout: 0, stderr: 0 };
      const exitCode = await job(async (stream, text) => {
        const bytes = typeof text === 'string' ? Buffer.from(text) : text;
        await writer.write(stream, at[stream], bytes);
        at[stream] += bytes.length;
      });
      const result = { ...fakeResult(input.taskId, input.spec.command, exitCode), ...(await writer.finish(at)) };
      await writer.end(result);
      await writer.close();
      return { ended: result };
    },
  };
  // A server of its own: the queue of long activities has one name, and another file's worker would take them.
  const temporal = await startTestTemporal();
  const bench = await startWorkflowBench(temporal.address, activities);
  const api = await createApi({
    client: bench.client,
    taskQueue: bench.taskQueue,
    outputs,
    blobs,
    fetched,
    blobLimitBytes: 200_000_000,
    bundles: {
      list: async () => [{ name: 'hello', file: 'hello.yaml', providers: ['fake'], mistakes, inForce: true }],
      show: async (name) => ({
        name,
        file: `${name}.yaml`,
        summary: 'A greeting',
        providers: ['fake'],
        mistakes: [],
        inForce: true,
        parameters: [{ name: 'size', type: 'enum', values: ['small', 'large'], default: 'small', summary: 'How much' }],
        recipe: { summary: 'A greeting', variants: [{ provider: 'fake', size: '${size}' }], ready: 'manual' },
      }),
      check: async () => ({ mistakes: [], files: 1, filesWithMistakes: 0 }),
    },
    admit: async ({ bundle }) => {
      if (bundle === 'hello') return undefined;
      if (bundle === 'broken') return 'Its file has mistakes (broken.yaml:1:1 x).';
      throw new DomainError('InvalidRequest', `No bundle \`${bundle}\`. Near: hello.`, {
        hint: 'slipway bundle list shows them all.',
      });
    },
    secrets: {
      seal: async (leaseId, name, value) => void sealed.set(`${leaseId}/${name}`, Buffer.from(value).toString()),
      forget: async (leaseId) => {
        for (const key of sealed.keys()) if (key.startsWith(`${leaseId}/`)) sealed.delete(key);
      },
    },
    standing: () => undefined,
    provider: (name) => (name === 'fake' ? provided : undefined),
    checkProviders: async () => [{ name: 'fake', ok: true, summary: 'in memory', abilities: ['reload'], items: [] }],
    accounts: async () => [{ name: 'cloud', providers: ['fake'], quota }],
    providers: ['fake'],
    ownerOf: async (given) => owners[given],
    logger: pino({ level: 'silent' }),
    beatMs: 100,
    ...change,
  });
  const url = await api.listen({ host: '127.0.0.1', port: 0 });
  return {
    api,
    url,
    port: (api.server.address() as AddressInfo).port,
    world,
    provider,
    jobs,
    /** Of the file of the bundle `hello`, as it stands. */
    mistakes,
    sealed,
    outputs,
    blobs,
    fetched,
    client: bench.client,
    taskQueue: bench.taskQueue,
    /** A call as our own clients make it. */
    ask: (path: string, init: RequestInit = {}, as = token) =>
      fetch(`${url}${path}`, {
        ...init,
        headers: {
          authorization: `Bearer ${as}`,
          ...(typeof init.body === 'string' ? { 'content-type': 'application/json' } : {}),
          ...(init.headers as Record<string, string>),
        },
      }),
    async stop(): Promise<void> {
      await api.close();
      await bench.stop();
      await temporal.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type ApiBench = Awaited<ReturnType<typeof startApiBench>>;

let named = 0;
/** An id that no other test has. */
export const freshId = (): string => `t${process.pid}-${Date.now().toString(36)}-${(named += 1)}`;

export const injected = (options: InjectOptions): InjectOptions => ({
  ...options,
  headers: { host: `127.0.0.1:${port}`, authorization: `Bearer ${token}`, ...options.headers },
});
