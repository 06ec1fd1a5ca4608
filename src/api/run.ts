import { Client, Connection } from '@temporalio/client';
import type { Logger } from 'pino';
import { accountsOf } from '../config/accounts.ts';
import { resolveBundle } from '../config/bundle-resolve.ts';
import { stackBundles } from '../config/stack-bundles.ts';
import { inventoryAt } from '../config/inventory.ts';
import { readInstallation } from '../config/installation.ts';
import { admitNotify } from '../config/notify.ts';
import { forgetSealedSecrets, resolveSecret, sealSecret } from '../config/secrets.ts';
import { readSettings } from '../config/settings.ts';
import type { StackTemporal } from '../config/stack-file.ts';
import type { StateFolder } from '../config/state-folder.ts';
import { temporalConnection } from '../config/temporal-connection.ts';
import { ownersByToken } from '../config/tokens.ts';
import { blobLimitBytes } from '../contract/http.ts';
import { taskQueue } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { createFileBlobStore } from '../output/file-blob-store.ts';
import { createFetchedStore } from '../output/fetched-store.ts';
import { createFileOutputStore } from '../output/file-output-store.ts';
import { createProviders } from '../providers/registry.ts';
import { checkProviders } from './provider-checks.ts';
import { openRendezvous } from '../rendezvous/open.ts';
import { createApi } from './server.ts';

export interface ApiOptions {
  readonly state: StateFolder;
  readonly temporal: StackTemporal;
  /** Where to listen; `preferred` is the port of `slipway.yaml`. */
  readonly listenAt: (preferred: number | undefined) => Promise<{ readonly host: string; readonly port: number }>;
  /** Guests are listened for at any free port rather than the usual one, where the settings name none. */
  readonly anyPort?: boolean;
  readonly logger: Logger;
  /** It answers there from now on. */
  readonly onReady: (url: string) => Promise<void>;
}

/** Answers until SIGTERM or SIGINT. */
export async function runApi({
  state,
  temporal,
  listenAt,
  anyPort = false,
  logger,
  onReady,
}: ApiOptions): Promise<void> {
  const installation = await readInstallation(state);
  const settings = await readSettings(state);
  const connection = await Connection.connect(temporalConnection(temporal));
  const client = new Client({ connection, namespace: temporal.namespace });
  const secret = async (name: string): Promise<string> => resolveSecret(await readSettings(state), name);
  const providers = createProviders({ state, installation: installation.id, settings, inventoryAt, secret, logger });
  const blobs = createFileBlobStore(state.blobs);
  const bundles = stackBundles(state, settings, providers, blobs, logger);
  const rendezvous = await openRendezvous({
    state,
    installationKey: installation.key,
    client,
    blobs,
    anyPort,
    logger,
  });
  const api = await createApi({
    client,
    taskQueue,
    outputs: createFileOutputStore(state.output),
    blobs,
    fetched: createFetchedStore(state.fetched),
    blobLimitBytes,
    bundles,
    admit: async (request) => {
      admitNotify(await readSettings(state), request);
      return (await resolveBundle(await bundles.get(request.bundle), request, blobs)).plan.bundle.notice;
    },
    secrets: {
      seal: (leaseId, name, value) => sealSecret(state, installation.key, leaseId, name, value),
      forget: (leaseId) => forgetSealedSecrets(state, leaseId),
    },
    checkProviders: checkProviders(providers, settings.saidProviders),
    standing: (name) => providers.get(name)?.standing,
    provider: (name) => providers.get(name),
    accounts: async () => accountsOf((await readSettings(state)).providers),
    providers: [...providers.keys()],
    hosts: async () => (await readSettings(state)).api.hosts,
    checkIns: rendezvous.counts,
    ownerOf: ownersByToken(state, (problem) => logger.warn(problem)),
    logger,
  });
  const at = await listenAt(settings.api.port);
  const url = await api.listen(at).catch((cause: Error) => {
    throw new DomainError('ProviderUnavailable', `The API cannot listen at ${at.host}:${at.port}: ${cause.message}`, {
      hint: 'Another process may have that port, or the address is none of this computer.',
      cause,
    });
  });
  const asked = new Promise<void>((resolve) => {
    process.once('SIGTERM', resolve);
    process.once('SIGINT', resolve);
  });
  await onReady(url);
  logger.info({ url }, 'API ready');
  await asked;
  await api.close();
  await rendezvous.close();
  for (const provider of providers.values()) await provider.close();
  await connection.close();
}
