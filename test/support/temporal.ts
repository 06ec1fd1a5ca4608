import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inject } from 'vitest';
import { devEnvironment } from '../../src/config/dev-environment.ts';
import type { OnProgress } from '../../src/dev/progress.ts';
import { findTemporal } from '../../src/dev/temporal-find.ts';
import { addSearchAttributes, ensureRetention } from '../../src/dev/temporal-prepare.ts';
import { connect, namespace, startTemporalServer } from '../../src/dev/temporal-server.ts';

declare module 'vitest' {
  interface ProvidedContext {
    /** The server of the whole run, or why there is none. */
    readonly temporal: { readonly address: string } | { readonly missing: string };
  }
}

export interface TestTemporal {
  readonly address: string;
  readonly namespace: string;
  readonly stop: () => Promise<void>;
}

/**
 * An in-memory Temporal server of a test file's own, with the settings and search attributes of the embedded stack. It
 * dies with this process. Most files do with the one of the run: `sharedTemporal()`.
 */
export async function startTestTemporal(onProgress: OnProgress = () => undefined): Promise<TestTemporal> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-temporal-'));
  // TEMPORAL_ADDRESS and profiles never count in a test: they would alter somebody's namespace.
  const environment = devEnvironment();
  const cli = await findTemporal({ environment, onProgress });
  const server = startTemporalServer({
    cli,
    env: environment.variables,
    log: join(folder, 'temporal.log'),
    onProgress: () => undefined,
    ui: false,
    stopWithinMs: 0,
  });
  await server.service.ready;
  const address = server.address();
  const connection = await connect({ address });
  await ensureRetention(connection, namespace);
  await addSearchAttributes(connection, namespace);
  await connection.close();
  const stop = async () => {
    await server.service.stop();
    await rm(folder, { recursive: true, force: true });
  };
  return { address, namespace, stop };
}

/** The in-memory server that all test files of a run share: take workflow ids and task queues that are yours alone. */
export function sharedTemporal(): { readonly address: string; readonly namespace: string } {
  const provided = inject('temporal');
  if ('missing' in provided) throw new Error(`The tests have no Temporal server: ${provided.missing}`);
  return { address: provided.address, namespace };
}
