import { readInstallation } from '../config/installation.ts';
import { processLogger } from '../config/process-logger.ts';
import type { StateFolder } from '../config/state-folder.ts';
import { workerEnvironment } from '../config/worker-environment.ts';
import { lockPath } from '../dev/supervisor.ts';
import { DomainError } from '../domain/failure.ts';
import { lockHolder } from '../host/lock.ts';
import { isLoopback, listenAddress } from './listen.ts';
import { keepReadyFile } from './ready-file.ts';
import { deploymentTemporal } from './temporal.ts';

export { setUp } from './setup.ts';

export interface ServeOptions {
  readonly state: StateFolder;
  readonly variables: Readonly<Record<string, string | undefined>>;
  /** Of the API: `HOST:PORT`; else `SLIPWAY_LISTEN`, else loopback. */
  readonly listen?: string;
  /** There, and fresh, while the process serves; else `SLIPWAY_READY_FILE`, else none. */
  readonly readyFile?: string;
}

const defaultPort = 4800;

/** What each runs; loaded when it is asked for, for a command line needs none of them. */
const parts = {
  async worker({ state, variables }: ServeOptions, ready: () => Promise<void>): Promise<void> {
    const environment = workerEnvironment({ ...variables, SLIPWAY_STATE: state.root });
    const { runWorker } = await import('../worker/run.ts');
    await runWorker({
      environment,
      temporal: deploymentTemporal(),
      keepsPools: () => Promise.resolve(true),
      logger: processLogger(environment.logLevel),
      onReady: ready,
    });
  },

  async api({ state, variables, listen }: ServeOptions, ready: () => Promise<void>): Promise<void> {
    const { host, port } = listenAddress(listen ?? variables['SLIPWAY_LISTEN']);
    const logger = processLogger(variables['SLIPWAY_LOG_LEVEL']);
    if (!isLoopback(host)) {
      logger.warn(
        { host },
        'the API answers beyond this computer: its token crosses the network, so put TLS before it',
      );
    }
    const { runApi } = await import('../api/run.ts');
    const listenAt = (preferred: number | undefined) =>
      Promise.resolve({ host, port: port ?? preferred ?? defaultPort });
    await runApi({ state, temporal: deploymentTemporal(), listenAt, logger, onReady: ready });
  },

  async local({ state, variables }: ServeOptions, ready: () => Promise<void>): Promise<void> {
    // A client or a log that is gone is told by an error of its own, never by the death of all machines' SSH.
    process.on('SIGPIPE', () => undefined);
    process.on('SIGHUP', () => undefined);
    process.umask(0o022);
    const { runLocal } = await import('../providers/local/process.ts');
    const end = await runLocal({
      folder: state.local,
      isServed: true,
      runtimeFolder: variables['XDG_RUNTIME_DIR'],
      logger: processLogger(variables['SLIPWAY_LOG_LEVEL']),
      onReady: () => void ready(),
    });
    if (end === 'held') {
      throw new DomainError('IdConflict', `Another process of provider local has ${state.local}.`, {
        hint: 'One is enough for all workers of the folder; a stack that ran here (`slipway dev`) has to end first.',
      });
    }
  },
} as const;

export type Part = keyof typeof parts;

/**
 * Runs one process of a deployment here, in the foreground, until SIGTERM or SIGINT.
 * @throws DomainError NotFound on a folder that `slipway setup` has not prepared; IdConflict on that of a running `slipway dev`
 */
export async function serve(part: Part, options: ServeOptions): Promise<void> {
  const { state } = options;
  process.setSourceMapsEnabled(true);
  await readInstallation(state);
  const dev = await lockHolder(lockPath(state));
  if (dev !== undefined) {
    throw new DomainError('IdConflict', `\`slipway dev\` runs on ${state.root} (process ${dev.pid}).`, {
      hint: 'Another Temporal server would take its machines for orphans: end it with `slipway dev stop`, or use another folder.',
    });
  }
  const readyFile = options.readyFile ?? options.variables['SLIPWAY_READY_FILE'];
  await parts[part](options, async () => {
    if (readyFile !== undefined && readyFile !== '') keepReadyFile(readyFile);
  });
}
