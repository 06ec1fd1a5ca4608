import { setTimeout as pause } from 'node:timers/promises';
import type { Connection, ConnectionOptions } from '@temporalio/client';
import { spawnBound, type Tie } from './bound-process.ts';
import { freePorts } from './ports.ts';
import type { OnProgress } from './progress.ts';
import { Service } from './service.ts';
import type { TemporalCli } from './temporal-find.ts';
import { serverArguments } from './temporal-settings.ts';

export interface TemporalServerOptions {
  readonly cli: TemporalCli;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: string;
  readonly onProgress: OnProgress;
  /** Absent: in memory. */
  readonly database?: string;
  readonly ui: boolean;
  /** How long its own way of ending may take before it is killed; by default 10 s (it takes 1 to 2). */
  readonly stopWithinMs?: number;
  /** Taken when free. */
  readonly preferred?: { readonly port: number; readonly uiPort: number };
  readonly tie?: Tie;
  /** Each new process of it, before it is ready. */
  readonly onStarted?: (pid: number) => Promise<void>;
}

/** A dev server of our own: on loopback, ending with this process, started again on the same address when it dies. */
export interface TemporalServer {
  readonly service: Service;
  /** Host and port of the frontend; fixed once it is ready. */
  readonly address: () => string;
  readonly ui: () => string | undefined;
}

export const namespace = 'default';
const host = '127.0.0.1';

export function startTemporalServer(options: TemporalServerOptions): TemporalServer {
  let ports: { port: number; uiPort?: number } = { port: 0 };
  let fixed = false;
  const service = new Service({
    name: 'temporal',
    log: options.log,
    onProgress: options.onProgress,
    readyWithinMs: 60_000,
    stopWithinMs: options.stopWithinMs ?? 10_000,
    launch: async (log) => {
      // Somebody may have taken a port between our look and the server's: until it was ready once, look again.
      if (!fixed) ports = await choosePorts(options);
      const database = options.database === undefined ? {} : { database: options.database };
      const started = await spawnBound({
        command: options.cli.path,
        args: serverArguments({ ...ports, ...database }),
        env: withoutTemporal(options.env),
        log,
        ...(options.tie === undefined ? {} : { tie: options.tie }),
      });
      await options.onStarted?.(started.pid);
      return started;
    },
    awaitReady: async (signal) => {
      await awaitHealth(`${host}:${ports.port}`, signal);
      fixed = true;
    },
  });
  return {
    service,
    address: () => `${host}:${ports.port}`,
    ui: () => (ports.uiPort === undefined ? undefined : `http://${host}:${ports.uiPort}`),
  };
}

async function choosePorts(options: TemporalServerOptions): Promise<{ port: number; uiPort?: number }> {
  const [port, uiPort] = await freePorts([options.preferred?.port, options.preferred?.uiPort]);
  if (port === undefined) throw new Error('No free port for Temporal');
  return options.ui && uiPort !== undefined ? { port, uiPort } : { port };
}

/** The operator's own Temporal settings must not reach a server or a process of the embedded stack. */
export const withoutTemporal = (env: Readonly<Record<string, string | undefined>>) =>
  Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('TEMPORAL_')));

/** SERVING of grpc.health.v1. */
const serving = 1;
const frontend = 'temporal.api.workflowservice.v1.WorkflowService';

/** Connects and asks for health until the server says that it serves and knows the namespace. */
async function awaitHealth(address: string, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted();
    if (await healthy(address)) return;
    await pause(20, undefined, { signal });
  }
}

async function healthy(address: string): Promise<boolean> {
  let connection: Connection | undefined;
  try {
    connection = await connect({ address, connectTimeout: 2_000 });
    const health = await connection.healthService.check({ service: frontend });
    const status: number = health.status;
    if (status !== serving) return false;
    await connection.workflowService.describeNamespace({ namespace });
    return true;
  } catch {
    // Refused, not serving yet, or no namespace yet: all mean "ask again", and the caller's signal bounds it.
    return false;
  } finally {
    await connection?.close();
  }
}

/** gRPC is heavy to load: only when a server is there to talk to. */
export async function connect(options: ConnectionOptions): Promise<Connection> {
  const { Connection } = await import('@temporalio/client');
  return Connection.connect(options);
}
