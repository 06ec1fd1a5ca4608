import type { Connection } from '@temporalio/client';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { DevEnvironment } from '../config/dev-environment.ts';
import {
  readStackFile,
  writeStackFile,
  type StackFile,
  type StackMode,
  type StackTemporal,
} from '../config/stack-file.ts';
import { refuseMistakes } from '../config/settings.ts';
import type { StateFolder } from '../config/state-folder.ts';
import { temporalConnection } from '../config/temporal-connection.ts';
import { DomainError } from '../domain/failure.ts';
import { findTie, type Tie } from './bound-process.ts';
import { ChildrenFile, endLeftovers } from './children-file.ts';
import { entryService, type Entries } from './entry-service.ts';
import { endIdleLocalProvider } from './local-provider.ts';
import { takeLock, type LockHolder } from '../host/lock.ts';
import { thisProcess } from '../host/process-identity.ts';
import type { OnProgress } from './progress.ts';
import type { Service } from './service.ts';
import { prepareStateFolder } from './state-folder-life.ts';
import { foreignServer, ownServer, type StackContext } from './stack-temporal.ts';
import { connect } from './temporal-server.ts';

export interface SupervisorOptions {
  readonly state: StateFolder;
  readonly mode: StackMode;
  readonly environment: DevEnvironment;
  readonly onProgress: OnProgress;
  /** Use the server that `TEMPORAL_ADDRESS` or this profile names ('' = the default one) in place of one of our own. */
  readonly temporal?: { readonly profile: string };
  readonly entries: Entries;
  readonly tie?: Tie;
  /** Ends a start that is under way. */
  readonly signal?: AbortSignal;
}

export interface RunningStack {
  readonly file: () => StackFile;
  /** A connection to the stack's Temporal server. */
  readonly connection: Connection;
  /** Fulfilled when a process could not be kept alive. */
  readonly failed: Promise<DomainError>;
  readonly setMode: (mode: StackMode) => Promise<void>;
  /** In order: API, worker, Temporal. Leases and machines stay for the next start. */
  readonly stop: () => Promise<void>;
  /** Shortens a stop that is under way: every process is killed. */
  readonly hurry: () => void;
}

export const lockPath = (state: StateFolder): string => join(state.run, 'stack.lock');
const childrenPath = (state: StateFolder): string => join(state.run, 'children.json');

/** @throws DomainError IdConflict when another supervisor holds the folder; InvalidRequest when slipway.yaml has mistakes */
export async function startStack(options: SupervisorOptions): Promise<RunningStack> {
  const { state } = options;
  const installation = await prepareStateFolder(state);
  const lock = await takeLock(lockPath(state));
  if (!lock.held) throw await heldBy(state, lock.by);

  const services: Service[] = [];
  const writer = stackFileWriter(state.stack);
  let connection: Connection | undefined;
  const stop = async () => {
    writer.close();
    for (const service of services.toReversed()) await service.stop();
    await connection?.close();
    for (const path of [state.stack, join(state.run, 'worker.json'), join(state.run, 'api.json')])
      await rm(path, { force: true });
    await endIdleLocalProvider(state);
    await lock.release();
  };
  const hurry = () => services.forEach((service) => service.hurry());
  const onAbort = () => hurry();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  try {
    await refuseMistakes(state);
    await rm(state.stack, { force: true });
    const left = await endLeftovers(childrenPath(state));
    if (left.length > 0)
      options.onProgress({ step: 'stack', text: `Ended what a killed stack left: ${left.join(', ')}` });

    const children = new ChildrenFile(childrenPath(state));
    const context = { ...options, tie: options.tie ?? findTie(options.environment.path), children, services };
    const temporal = await (options.temporal === undefined
      ? ownServer(context, installation.id)
      : foreignServer(context, options.temporal.profile, installation.id));
    options.signal?.throwIfAborted();
    connection = await connect(temporalConnection(temporal));
    return await startEntries(context, temporal, connection, writer, { stop, hurry });
  } catch (error) {
    hurry();
    await stop();
    options.signal?.throwIfAborted();
    throw error;
  } finally {
    options.signal?.removeEventListener('abort', onAbort);
  }
}

async function startEntries(
  context: StackContext,
  temporal: StackTemporal,
  connection: Connection,
  writer: StackFileWriter,
  ends: Pick<RunningStack, 'stop' | 'hurry'>,
): Promise<RunningStack> {
  const { services, entries } = context;
  const self = thisProcess();
  let file: StackFile = {
    version: 1,
    pid: self.pid,
    processStart: self.start,
    startedAt: new Date().toISOString(),
    mode: context.mode,
    temporal,
  };
  const write = (change: Partial<StackFile>) => {
    file = { ...file, ...change };
    return writer.write(file);
  };
  await write({});

  const env = entryEnvironment(context, temporal);
  const worker = entryService({ ...context, env }, 'worker', entries.worker, async () => undefined);
  const api = entryService({ ...context, env }, 'api', entries.api, async ({ url }) => {
    if (url === undefined) throw new DomainError('Internal', 'run/api.json names no url.');
    await write({ api: { url } });
  });
  services.push(worker, api);
  await Promise.all([worker.ready, api.ready]);
  const failed = new Promise<DomainError>((resolve) => {
    for (const service of services) void service.gone.then((failure) => failure && resolve(failure));
  });
  return { file: () => file, connection, failed, setMode: (mode) => write({ mode }), ...ends };
}

interface StackFileWriter {
  readonly write: (file: StackFile) => Promise<void>;
  readonly close: () => void;
}

/** One write after another, and none once the stack is stopping: a late one would leave the file of a stack that is gone. */
function stackFileWriter(path: string): StackFileWriter {
  let last: Promise<void> = Promise.resolve();
  let open = true;
  const write = (file: StackFile) => {
    last = last.then(() => (open ? writeStackFile(path, file) : undefined));
    return last;
  };
  return { write, close: () => (open = false) };
}

/** A server of our own is found in `stack.json` alone: the operator's Temporal settings must not reach worker and API. */
function entryEnvironment(
  context: StackContext,
  temporal: StackTemporal,
): Readonly<Record<string, string | undefined>> {
  const { variables } = context.environment;
  const own = temporal.profile === undefined;
  return {
    ...Object.fromEntries(Object.entries(variables).filter(([name]) => !own || !name.startsWith('TEMPORAL_'))),
    SLIPWAY_STATE: context.state.root,
  };
}

async function heldBy(state: StateFolder, holder: LockHolder): Promise<DomainError> {
  const file = await readStackFile(state.stack).catch(() => undefined);
  const current = file?.pid === holder.pid ? file : undefined;
  const addresses = [
    current?.api && `API ${current.api.url}`,
    current && `Temporal ${current.temporal.address}`,
    current?.temporal.ui && `UI ${current.temporal.ui}`,
  ].filter((text) => text !== undefined && text !== '');
  return new DomainError(
    'IdConflict',
    `The state folder ${state.root} is held by process ${holder.pid} since ${holder.since} (${addresses.join(' · ') || 'still starting'}).`,
    {
      hint: 'Use that stack, or end it with `slipway dev stop`, or choose another folder with --state.',
      details: { pid: holder.pid, since: holder.since },
    },
  );
}
