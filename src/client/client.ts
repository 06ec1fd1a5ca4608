import type { z } from 'zod';
import type { BundleDetail, BundleReport, BundleView } from '../contract/bundle-views.ts';
import type { LeaseListing, LeaseView, MachineListing, MachineView, ProviderView } from '../contract/http.ts';
import type { CaptureStatus, ImageListing } from '../contract/images.ts';
import type { Evidence } from '../domain/evidence.ts';
import { DomainError } from '../domain/failure.ts';
import { hasReached } from '../contract/wait.ts';
import type { WaitKind } from '../contract/wait.ts';
import type { StandingMachine } from '../domain/inventory.ts';
import type { LeaseRequest, LeaseStatus, MachineStatus, TaskStatus, TaskSummary } from '../domain/lease.ts';
import type { PowerAction } from '../domain/power.ts';
import type { QuotaListing, QuotaStatus } from '../domain/quota-status.ts';
import type { LedgerLine } from '../domain/ledger.ts';
import type { PoolStatus } from '../domain/pool-status.ts';
import type { poolSetBody } from '../contract/pool.ts';
import type { PoolListing } from '../contract/pool-views.ts';
import type { SweepReport } from '../domain/sweep.ts';
import { streams, type Stream, type TaskSpec } from '../domain/task.ts';
import type { FileOrder, FileResult, FileStatus, KeyGrant, PutOrder } from '../domain/transfer.ts';
import { download } from './download.ts';
import type { FindEndpoint } from './endpoint.ts';
import { followOutput } from './follow.ts';
import type { FollowNews, FollowOptions } from './follow.ts';
import { createTransport } from './transport.ts';
import type { TransportOptions } from './transport.ts';
import { uploadFile } from './upload.ts';
import type { Uploaded } from './upload.ts';

/** The HTTP API in the words of the domain. Every method throws DomainError as the API says. Times are ms. */
export interface SlipwayClient {
  readonly leases: {
    /** The same id and body is the same lease, however often it is asked. @throws DomainError IdConflict */
    open(request: LeaseRequest): Promise<LeaseStatus>;
    list(filter?: {
      readonly state?: string;
      readonly owner?: string;
      readonly limit?: number;
    }): Promise<readonly LeaseListing[]>;
    show(leaseId: string, signal?: AbortSignal): Promise<LeaseView>;
    /** Answers when it has come so far, or as it is when `withinMs` are over; without, it waits for ever. */
    wait(leaseId: string, kind: WaitKind, options?: WaitOptions): Promise<LeaseView>;
    extend(leaseId: string, more: { readonly byMs: number } | { readonly untilMs: number }): Promise<LeaseView>;
    release(leaseId: string, reason?: string): Promise<LeaseView>;
    cancel(leaseId: string, reason?: string): Promise<LeaseView>;
    /** @param result 0: ready; anything else: it will never be */
    markReady(leaseId: string, body?: { readonly result?: number; readonly message?: string }): Promise<LeaseView>;
    /** Seals a value; a task names it `lease:<name>` in its `secretEnv`. */
    putSecret(leaseId: string, name: string, value: Uint8Array): Promise<void>;
  };
  readonly tasks: {
    run(leaseId: string, taskId: string, spec: TaskSpec): Promise<TaskSummary>;
    list(leaseId: string): Promise<readonly TaskSummary[]>;
    show(leaseId: string, taskId: string): Promise<TaskStatus>;
    cancel(leaseId: string, taskId: string, reason?: string): Promise<TaskStatus>;
    follow(leaseId: string, taskId: string, options?: FollowOptions): AsyncGenerator<FollowNews>;
    /** What is kept, from `start` on. */
    output(leaseId: string, taskId: string, stream: Stream, start?: number): Promise<ReadableStream<Uint8Array>>;
  };
  readonly files: {
    /** The same id and order is the same move, however often it is asked. Answers when it is done. */
    put(leaseId: string, fileId: string, order: PutOrder, signal?: AbortSignal): Promise<FileResult>;
    /** Into the API's store; `download` reads it from there. */
    get(leaseId: string, fileId: string, path: string, signal?: AbortSignal): Promise<FileResult>;
    cancel(leaseId: string, fileId: string): Promise<void>;
    download(sha256: string, bytes: number, signal?: AbortSignal): AsyncGenerator<Uint8Array>;
  };
  readonly keys: {
    /** Answers when the key can log in. */
    letIn(leaseId: string, publicKey: string, forMs?: number): Promise<KeyGrant>;
    takeOut(leaseId: string, keyId: string): Promise<void>;
  };
  readonly machines: {
    list(filter?: { readonly state?: MachineFilter; readonly limit?: number }): Promise<readonly MachineListing[]>;
    show(machineId: string): Promise<MachineView>;
    /** Answers when its provider has taken it. @throws DomainError InvalidRequest (not now; its provider cannot) */
    power(machineId: string, action: PowerAction): Promise<MachineView>;
    /** The end of what it has said on its console; 16 KiB when it is not said how much. */
    console(machineId: string, maxBytes?: number): Promise<string>;
    /** The cloud-init document that it was given, its secrets hidden. */
    userData(machineId: string): Promise<Readonly<Record<string, unknown>>>;
    /** Another one in its place: what is hidden stays. @throws DomainError InvalidRequest naming what cannot be so */
    changeUserData(
      machineId: string,
      config: Readonly<Record<string, unknown>>,
    ): Promise<Readonly<Record<string, unknown>>>;
    /** Gives up a stuck machine that its provider may have for ever. @throws DomainError InvalidRequest when it is not stuck */
    forget(machineId: string, reason: string): Promise<MachineStatus>;
    /** The last 4 KiB of what a machine that failed had to say, as an attempt names it. */
    evidenceTail(machineId: string, evidence: Evidence): Promise<string>;
    /** The last 4 KiB of what a step of its customizing wrote; steps count from 0. */
    stepTail(machineId: string, step: number, stream: Stream, generation?: number): Promise<string>;
  };
  /** At providers that keep them. */
  readonly images: {
    list(provider?: string): Promise<readonly ImageListing[]>;
    /** Answers when all of it is there. @throws DomainError InvalidRequest (not now), IdConflict (another has that name) */
    capture(machineId: string, name: string): Promise<ImageListing>;
    /** @throws DomainError NotFound, InvalidRequest (it is of the settings, or machines lie upon it) */
    remove(provider: string, name: string): Promise<ImageListing>;
  };
  readonly pools: {
    list(): Promise<readonly PoolListing[]>;
    show(name: string): Promise<PoolStatus>;
    /** Stands until the declaration changes. @throws DomainError InvalidRequest for a target above the ceiling */
    set(name: string, body: z.input<typeof poolSetBody>): Promise<PoolStatus>;
    drain(name: string, reason?: string): Promise<PoolStatus>;
  };
  readonly quotas: {
    list(): Promise<readonly QuotaListing[]>;
    show(account: string): Promise<QuotaStatus>;
  };
  readonly bundles: {
    list(): Promise<readonly BundleView[]>;
    show(name: string): Promise<BundleDetail>;
    check(): Promise<BundleReport>;
  };
  checkProviders(name?: string): Promise<readonly ProviderView[]>;
  /** Of a provider that has an inventory. */
  readonly standing: {
    list(provider: string): Promise<readonly StandingMachine[]>;
    /** @throws DomainError InvalidRequest when it is not out of use; what keeps slipway from the machine */
    putBack(provider: string, machine: string): Promise<StandingMachine>;
  };
  sweep(options: { readonly provider?: string; readonly reclaim?: boolean }): Promise<SweepReport>;
  /** What each provider holds because of us, as its last sweep saw it. */
  ledger(): Promise<readonly LedgerLine[]>;
  upload(path: string, signal?: AbortSignal): Promise<Uploaded>;
}

/** `open`: whose life is not over. */
export type MachineFilter = 'open' | 'all' | 'stuck' | 'forgotten';

export interface WaitOptions {
  readonly withinMs?: number;
  readonly signal?: AbortSignal;
}

/** One long poll; the API waits no longer in one go. */
const pollMs = 30_000;

export function createClient(find: FindEndpoint, options: TransportOptions = {}): SlipwayClient {
  const transport = createTransport(find, options);
  const { json } = transport;
  const lease = (id: string, rest = ''): string => `/v1/leases/${encodeURIComponent(id)}${rest}`;
  const task = (id: string, taskId: string, rest = ''): string =>
    lease(id, `/tasks/${encodeURIComponent(taskId)}${rest}`);
  const pool = (name: string, rest = ''): string => `/v1/pools/${encodeURIComponent(name)}${rest}`;
  const because = (reason: string | undefined) =>
    ({ method: 'POST', body: reason === undefined ? {} : { reason } }) as const;

  const wait = async (
    leaseId: string,
    kind: WaitKind,
    { withinMs = Infinity, signal }: WaitOptions = {},
  ): Promise<LeaseView> => {
    const until = performance.now() + withinMs;
    for (;;) {
      const leftMs = Math.max(0, until - performance.now());
      const query = { wait: kind, timeoutMs: Math.ceil(Math.min(pollMs, leftMs)) };
      const view = await json<LeaseView>(lease(leaseId), { query, signal });
      if (hasReached(view, kind) || performance.now() >= until) return view;
    }
  };

  const file = (leaseId: string, fileId: string): string => lease(leaseId, `/files/${encodeURIComponent(fileId)}`);
  const move = async (
    leaseId: string,
    fileId: string,
    order: FileOrder,
    signal: AbortSignal | undefined,
  ): Promise<FileResult> => {
    for (;;) {
      const { result } = await json<FileStatus>(file(leaseId, fileId), { method: 'PUT', body: order, signal });
      if (result !== undefined) return result;
    }
  };

  const tail = async (machineId: string, rest: string, generation: number): Promise<string> => {
    const path = `/v1/machines/${encodeURIComponent(machineId)}/${rest}?generation=${generation}`;
    try {
      return await (await transport.ask(path, { headers: { range: 'bytes=-4096' } })).text();
    } catch (error) {
      // Nothing was written, or too little for a range.
      if (error instanceof DomainError && [404, 416].includes(Number(error.details?.['status']))) return '';
      throw error;
    }
  };

  return {
    leases: {
      open: (request) => json(lease(request.leaseId), { method: 'PUT', body: request }),
      list: (filter = {}) => json('/v1/leases', { query: filter }),
      show: (leaseId, signal) => json(lease(leaseId), { signal }),
      wait,
      extend: (leaseId, more) => json(lease(leaseId, '/extend'), { method: 'POST', body: more, once: true }),
      release: (leaseId, reason) => json(lease(leaseId, '/release'), because(reason)),
      cancel: (leaseId, reason) => json(lease(leaseId, '/cancel'), because(reason)),
      markReady: (leaseId, body = {}) => json(lease(leaseId, '/ready'), { method: 'POST', body }),
      putSecret: (leaseId, name, value) =>
        json(lease(leaseId, `/secrets/${encodeURIComponent(name)}`), { method: 'PUT', bytes: () => value }),
    },
    tasks: {
      run: (leaseId, taskId, spec) => json(task(leaseId, taskId), { method: 'PUT', body: spec }),
      list: (leaseId) => json(lease(leaseId, '/tasks')),
      show: (leaseId, taskId) => json(task(leaseId, taskId)),
      cancel: (leaseId, taskId, reason) => json(task(leaseId, taskId, '/cancel'), because(reason)),
      follow: (leaseId, taskId, follow) => followOutput(transport, task(leaseId, taskId, '/follow'), follow),
      output: async (leaseId, taskId, stream, start = 0) => {
        const headers: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
        try {
          const answer = await transport.ask(task(leaseId, taskId, `/${stream}`), { headers });
          return answer.body as ReadableStream<Uint8Array>;
        } catch (error) {
          // There is less of it than that.
          if (error instanceof DomainError && error.details?.['status'] === 416) return new Blob([]).stream();
          throw error;
        }
      },
    },
    files: {
      put: (leaseId, fileId, order, signal) => move(leaseId, fileId, { put: order }, signal),
      get: (leaseId, fileId, path, signal) => move(leaseId, fileId, { get: { path } }, signal),
      cancel: (leaseId, fileId) => json(file(leaseId, fileId), { method: 'DELETE' }),
      download: (sha256, bytes, signal) => download(transport, sha256, bytes, signal),
    },
    keys: {
      letIn: (leaseId, publicKey, forMs) =>
        json(lease(leaseId, '/keys'), {
          method: 'POST',
          body: { publicKey, ...(forMs === undefined ? {} : { forMs }) },
        }),
      takeOut: (leaseId, keyId) => json(lease(leaseId, `/keys/${encodeURIComponent(keyId)}`), { method: 'DELETE' }),
    },
    machines: {
      list: (filter = {}) => json('/v1/machines', { query: filter }),
      show: (machineId) => json(`/v1/machines/${encodeURIComponent(machineId)}`),
      power: (machineId, action) =>
        json(`/v1/machines/${encodeURIComponent(machineId)}/power`, { method: 'POST', body: { action }, once: true }),
      console: async (machineId, bytes) =>
        (await transport.ask(`/v1/machines/${encodeURIComponent(machineId)}/console`, { query: { bytes } })).text(),
      userData: (machineId) => json(`/v1/machines/${encodeURIComponent(machineId)}/userdata`),
      changeUserData: (machineId, body) =>
        json(`/v1/machines/${encodeURIComponent(machineId)}/userdata`, { method: 'PUT', body }),
      forget: (machineId, reason) =>
        json(`/v1/machines/${encodeURIComponent(machineId)}/forget`, { method: 'POST', body: { reason } }),
      evidenceTail: async (machineId, { what, step = 0, generation }) => {
        if (what !== 'step') return tail(machineId, `evidence/${what}`, generation);
        const both = await Promise.all(streams.map((stream) => tail(machineId, `steps/${step}/${stream}`, generation)));
        return both.join('');
      },
      stepTail: (machineId, step, stream, generation = 1) => tail(machineId, `steps/${step}/${stream}`, generation),
    },
    quotas: {
      list: () => json('/v1/quotas'),
      show: (account) => json(`/v1/quotas/${encodeURIComponent(account)}`),
    },
    pools: {
      list: () => json('/v1/pools'),
      show: (name) => json(pool(name)),
      set: (name, body) => json(pool(name, '/set'), { method: 'POST', body }),
      drain: (name, reason) => json(pool(name, '/drain'), because(reason)),
    },
    bundles: {
      list: () => json('/v1/bundles'),
      show: (name) => json(`/v1/bundles/${encodeURIComponent(name)}`),
      check: () => json('/v1/bundles/check'),
    },
    checkProviders: (name) => json('/v1/providers', { query: { name } }),
    images: {
      list: (provider) => json('/v1/images', { query: { provider } }),
      capture: async (machineId, name) => {
        const path = `/v1/machines/${encodeURIComponent(machineId)}/images/${encodeURIComponent(name)}`;
        for (;;) {
          const { image } = await json<CaptureStatus>(path, { method: 'PUT', body: {} });
          if (image) return image;
        }
      },
      remove: (provider, name) =>
        json(`/v1/providers/${encodeURIComponent(provider)}/images/${encodeURIComponent(name)}`, {
          method: 'DELETE',
          once: true,
        }),
    },
    standing: {
      list: (provider) => json(`/v1/providers/${encodeURIComponent(provider)}/machines`),
      putBack: (provider, machine) =>
        json(`/v1/providers/${encodeURIComponent(provider)}/machines/${encodeURIComponent(machine)}/put-back`, {
          method: 'POST',
          once: true,
        }),
    },
    sweep: (body) => json('/v1/sweep', { method: 'POST', body, once: true }),
    ledger: () => json('/v1/ledger'),
    upload: (path, signal) => uploadFile(transport, path, signal),
  };
}
