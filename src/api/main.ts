import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Client, Connection } from '@temporalio/client';
import { pino } from 'pino';
import { accountsOf } from '../config/accounts.ts';
import { resolveBundle } from '../config/bundle-resolve.ts';
import { createKeptBundles } from '../config/bundle-kept.ts';
import { packageBundlesFolder } from '../config/bundle-folders.ts';
import { createBundles } from '../config/bundles.ts';
import { readInstallation } from '../config/installation.ts';
import { forgetSealedSecrets, sealSecret } from '../config/secrets.ts';
import { readSettings } from '../config/settings.ts';
import { readStackFile } from '../config/stack-file.ts';
import { stateFolder } from '../config/state-folder.ts';
import { temporalConnection } from '../config/temporal-connection.ts';
import { ownersByToken } from '../config/tokens.ts';
import { blobLimitBytes } from '../contract/http.ts';
import { taskQueue } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { replaceFile } from '../host/atomic-file.ts';
import { createFileBlobStore } from '../output/file-blob-store.ts';
import { createFetchedStore } from '../output/fetched-store.ts';
import { createFileOutputStore } from '../output/file-output-store.ts';
import { createProviders } from '../providers/registry.ts';
import { checkProviders } from './provider-checks.ts';
import { createApi } from './server.ts';

const loopback = '127.0.0.1';
const preferredPort = 4800;
const isPreferred = process.env['SLIPWAY_PORTS'] !== 'any';

const logger = pino({
  level: process.env['SLIPWAY_LOG_LEVEL'] ?? 'info',
  base: { pid: process.pid },
  serializers: { error: pino.stdSerializers.errWithCause },
});

async function main(): Promise<void> {
  const startedAt = new Date().toISOString();
  const folder = process.env['SLIPWAY_STATE'];
  if (!folder) {
    const hint = 'start the stack with `slipway dev`, which gives it.';
    throw new DomainError('InvalidRequest', 'The API needs SLIPWAY_STATE, the absolute path of the state folder.', {
      hint,
    });
  }
  const state = stateFolder(folder);
  const stack = await readStackFile(state.stack);
  if (!stack) throw new DomainError('NotFound', `No stack runs on ${state.root}.`, { hint: 'slipway dev' });
  const installation = await readInstallation(state);
  const settings = await readSettings(state);
  const connection = await Connection.connect(temporalConnection(stack.temporal));
  const client = new Client({ connection, namespace: stack.temporal.namespace });
  const providers = createProviders({ state, installation: installation.id, settings, logger });
  const blobs = createFileBlobStore(state.blobs);
  const bundles = createBundles({
    folders: [state.bundles, packageBundlesFolder()],
    providers: [...providers.keys()],
    outputLimitBytes: settings.output.limitBytes,
    kept: createKeptBundles(state.goodBundles, blobs),
    onKeepFailed: (name, error) => logger.error({ error, bundle: name }, 'a good version could not be kept'),
  });
  const api = await createApi({
    client,
    taskQueue,
    outputs: createFileOutputStore(state.output),
    blobs,
    fetched: createFetchedStore(state.fetched),
    blobLimitBytes,
    bundles,
    admit: async (request) =>
      (await resolveBundle(await bundles.get(request.bundle), request, blobs)).plan.bundle.notice,
    secrets: {
      seal: (leaseId, name, value) => sealSecret(state, installation.key, leaseId, name, value),
      forget: (leaseId) => forgetSealedSecrets(state, leaseId),
    },
    checkProviders: checkProviders(providers),
    accounts: async () => accountsOf((await readSettings(state)).providers),
    providers: [...providers.keys()],
    ownerOf: ownersByToken(state, (problem) => logger.warn(problem)),
    logger,
  });
  const port = settings.api.port ?? (isPreferred && (await isFree(preferredPort)) ? preferredPort : 0);
  const url = await api.listen({ host: loopback, port });
  await mkdir(state.run, { recursive: true, mode: 0o700 });
  await replaceFile(
    join(state.run, 'api.json'),
    `${JSON.stringify({ pid: process.pid, startedAt, ready: true, url })}\n`,
  );
  logger.info({ url }, 'API ready');

  const stop = async (): Promise<void> => {
    await api.close();
    for (const provider of providers.values()) await provider.close();
    await connection.close();
  };
  const signalled = (): void =>
    void stop().then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    );
  process.once('SIGTERM', signalled);
  process.once('SIGINT', signalled);
}

/** Another stack on this computer may have the preferred port already; Fastify's own failure would end the process. */
const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: loopback, port }, () => probe.close(() => resolve(true)));
  });

function fail(error: unknown): never {
  logger.fatal({ err: error }, error instanceof Error ? error.message : String(error));
  process.exit(1);
}

main().catch(fail);
