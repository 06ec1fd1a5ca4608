import { join } from 'node:path';
import type { DevEnvironment } from '../config/dev-environment.ts';
import type { StackMode, StackTemporal } from '../config/stack-file.ts';
import { foreignTemporal } from '../config/temporal-connection.ts';
import { taskQueue } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { takeLock } from '../host/lock.ts';
import { copyBeforeUpgrade } from './database-copy.ts';
import type { Entries, EntryContext } from './entry-service.ts';
import type { Service } from './service.ts';
import { findTemporal, type TemporalCli } from './temporal-find.ts';
import { adoptNamespace, prepareNamespace } from './temporal-prepare.ts';
import { connect, namespace, startTemporalServer } from './temporal-server.ts';

export interface StackContext extends Omit<EntryContext, 'env'> {
  readonly environment: DevEnvironment;
  readonly signal?: AbortSignal;
  readonly mode: StackMode;
  readonly entries: Entries;
  /** In the order of their start; stopped the other way round. */
  readonly services: Service[];
}

const knownPorts = { port: 7233, uiPort: 8233 };

/**
 * The ports that people know are looked at by one stack of a user only, until its process ends. Of two that find them free at
 * one moment, the slower would take the faster one's server for its own.
 * @param cacheFolder what all stacks of the user share
 */
export async function preferredPorts(cacheFolder: string): Promise<typeof knownPorts | undefined> {
  const lock = await takeLock(join(cacheFolder, 'known-ports')).catch((error: NodeJS.ErrnoException) => {
    // A home that cannot be written is no reason not to start: other ports do.
    if (error.code === 'EACCES' || error.code === 'EROFS') return { held: false };
    throw error;
  });
  return lock.held ? knownPorts : undefined;
}

/** Starts a dev server of our own on the state folder's database, and prepares its namespace. */
export async function ownServer(context: StackContext, installation: string): Promise<StackTemporal> {
  const { state, environment, onProgress, services, tie, children } = context;
  const cli = await findTemporal({
    environment,
    onProgress,
    ...(context.signal === undefined ? {} : { signal: context.signal }),
  });
  onProgress({ step: 'temporal', text: describe(cli) });
  const copy = await copyBeforeUpgrade(state.database, cli.version.server);
  if (copy !== undefined) {
    onProgress({
      step: 'temporal',
      text: `Server ${cli.version.server} opens the database for the first time: the old state is kept in ${copy}`,
    });
  }
  const preferred =
    environment.variables['SLIPWAY_PORTS'] === 'any' ? undefined : await preferredPorts(environment.cacheFolder);
  const server = startTemporalServer({
    cli,
    env: environment.variables,
    log: join(state.log, 'temporal.log'),
    onProgress,
    database: state.database,
    ui: true,
    ...(preferred === undefined ? {} : { preferred }),
    // A person waits for the end of a one-shot stack, and the write-ahead log survives a kill.
    ...(context.mode === 'one-shot' ? { stopWithinMs: 250 } : {}),
    tie,
    onStarted: (pid) => children.note('temporal', pid),
  });
  services.push(server.service);
  await server.service.ready;
  const [address, ui] = [server.address(), server.ui()];
  const connection = await connect({ address });
  try {
    await prepareNamespace(connection, namespace, installation);
  } finally {
    await connection.close();
  }
  return { address, namespace, taskQueue, ...(ui === undefined ? {} : { ui }) };
}

/** Takes a server that is not ours: only what is missing in its namespace is added. */
export async function foreignServer(
  context: StackContext,
  profile: string,
  installation: string,
): Promise<StackTemporal> {
  const { options, namespace } = foreignTemporal(profile);
  const connection = await connect(options).catch((cause: Error) => {
    throw new DomainError(
      'ProviderUnavailable',
      `The Temporal server ${options.address} does not answer: ${cause.message}`,
      {
        hint: 'Look at TEMPORAL_ADDRESS and the profile, or leave out --temporal for a server of our own.',
        cause,
      },
    );
  });
  try {
    await adoptNamespace(connection, namespace, installation, (text) =>
      context.onProgress({ step: 'temporal', text, warning: true }),
    );
  } finally {
    await connection.close();
  }
  context.onProgress({
    step: 'temporal',
    text: `Using the Temporal server ${options.address}, namespace ${namespace}`,
  });
  return { address: options.address, namespace, taskQueue, profile };
}

const places: Readonly<Record<TemporalCli['from'], (path: string) => string>> = {
  PATH: (path) => `on the PATH (${path})`,
  SLIPWAY_TEMPORAL_CLI: (path) => `of SLIPWAY_TEMPORAL_CLI (${path})`,
  cache: () => 'in the cache',
  download: () => 'of the official download',
  build: () => 'built with Go',
};

const describe = (cli: TemporalCli): string =>
  `Temporal dev server ${cli.version.server} ${places[cli.from](cli.path)}`;
