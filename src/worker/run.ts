import { Worker } from '@temporalio/worker';
import type { Logger } from 'pino';
import { createActivities } from '../activities/index.ts';
import type { Deps } from '../activities/deps.ts';
import { accountsOf } from '../config/accounts.ts';
import { resolveBundle, type Resolved } from '../config/bundle-resolve.ts';
import { pooledPlan, poolOfBundle } from '../config/pooled-bundle.ts';
import { stackBundles } from '../config/stack-bundles.ts';
import { inventoryAt } from '../config/inventory.ts';
import { readInstallation, verifyInstallation } from '../config/installation.ts';
import { withQuotas } from '../config/plan-quota.ts';
import { admitNotify } from '../config/notify.ts';
import { createSecrets, resolveSecret } from '../config/secrets.ts';
import { readSettings } from '../config/settings.ts';
import type { StackTemporal } from '../config/stack-file.ts';
import type { WorkerEnvironment } from '../config/worker-environment.ts';
import { longTaskQueue, taskQueue } from '../contract/messages.ts';
import { leaseWorkflowId } from '../domain/ids.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import { createGuests } from '../guest/guests.ts';
import { createFileBlobStore } from '../output/file-blob-store.ts';
import { createFetchedStore } from '../output/fetched-store.ts';
import { createFileOutputStore } from '../output/file-output-store.ts';
import { createProviders } from '../providers/registry.ts';
import { createBootStrings } from '../rendezvous/boot-strings.ts';
import { bundlePath, payloadConverterPath } from './bundle.ts';
import { createAccounts } from './accounts.ts';
import { connectTemporal, refuseMissingAttributes } from './connect.ts';
import { expireStores } from './expire-stores.ts';
import { followSettings } from './follow-settings.ts';
import { keepPools } from './keep-pools.ts';
import { installSdkLog } from './sdk-log.ts';
import { securityEvents } from './security-events.ts';
import { keepSweepSchedules } from './sweep-schedules.ts';

/** Short activities run at once, on the worker that asked (eagerly), as long as a slot is free. */
const shortSlots = 500;
/** Each leased machine is one watch, each running task one follow: almost idle, but there are many. */
const longSlots = 5_000;
/** Bundles are looked at so often, whether anybody leases or not: a good version must be seen before it is broken. */
const bundlesEveryMs = 2_000;

export interface WorkerOptions {
  readonly environment: WorkerEnvironment;
  readonly temporal: StackTemporal;
  /** A worker of one job keeps no pools: machines in stock are not what its stack is for, and end with it. */
  readonly keepsPools: () => Promise<boolean>;
  readonly logger: Logger;
  /** It takes work from now on. */
  readonly onReady: () => Promise<void>;
}

/** Works until SIGTERM or SIGINT, then detaches from what is under way: another worker goes on with it. */
export async function runWorker({ environment, temporal, keepsPools, logger, onReady }: WorkerOptions): Promise<void> {
  const { state } = environment;
  installSdkLog(logger);
  const installation = await readInstallation(state);
  const connections = await connectTemporal(temporal);
  const { native, client } = connections;
  await refuseMissingAttributes(client.connection as Parameters<typeof refuseMissingAttributes>[0], temporal.namespace);
  await verifyInstallation(native, temporal.namespace, installation.id);

  const settings = await readSettings(state);
  let { upgrade } = settings;
  const secret = async (name: string): Promise<string> => resolveSecret(await readSettings(state), name);
  const unlimited = createProviders({ state, installation: installation.id, settings, inventoryAt, secret, logger });
  const to = { workflows: client.workflow, taskQueue, tuning: environment.tuning };
  const accounts = createAccounts(to, client, accountsOf(settings.providers));
  const providers = new Map([...unlimited].map(([name, provider]) => [name, accounts.limited(provider)]));
  const blobs = createFileBlobStore(state.blobs);
  const bundles = stackBundles(state, settings, providers, blobs, logger);
  const outputs = createFileOutputStore(state.output);
  const fetched = createFetchedStore(state.fetched);
  const guests = createGuests();
  const resolve = async (request: LeaseRequest, holder: string): Promise<Resolved> => {
    const { recipe, plan } = await resolveBundle(await bundles.get(request.bundle), request, blobs, holder);
    return { recipe, plan: withQuotas(plan, recipe, await readSettings(state)) };
  };
  const deps: Deps = {
    providers,
    guests,
    outputs,
    blobs,
    fetched,
    accounts: async () => accountsOf((await readSettings(state)).providers),
    resolve: async (request) => {
      admitNotify(await readSettings(state), request);
      const resolved = await resolve(request, leaseWorkflowId(request.leaseId));
      const pool = poolOfBundle((await readSettings(state)).pools, request.bundle);
      return pool === undefined ? resolved : { ...resolved, plan: pooledPlan(pool, resolved, request) };
    },
    secrets: createSecrets(state, installation.key),
    notifyAllow: async () => (await readSettings(state)).notify?.allow,
    installation,
    bootString: createBootStrings(state, installation.key),
    client,
    tuning: environment.tuning,
    times: environment.times,
    logger,
  };
  const interceptors = { activity: [securityEvents(logger)] };
  const common = {
    connection: native,
    namespace: temporal.namespace,
    dataConverter: { payloadConverterPath },
    activities: createActivities(deps),
    interceptors,
    // Cancellation travels on heartbeats: none may be held back for longer.
    maxHeartbeatThrottleInterval: 1_500,
    // Tasks of a workflow wait this long for the worker that has it in memory: it may be dead.
    stickyQueueScheduleToStartTimeout: '1s',
    defaultHeartbeatThrottleInterval: 1_500,
    // Time for activities to detach; the next worker goes on where they stood.
    shutdownGraceTime: 0,
    shutdownForceTime: 10_000,
    // `patched()` begins a new way only when every worker that may go on with it knows it.
    patchActivationCallback: () => upgrade !== 'hold',
  } as const;
  const workers = [
    await Worker.create({
      ...common,
      taskQueue,
      workflowBundle: { codePath: bundlePath },
      maxConcurrentActivityTaskExecutions: shortSlots,
    }),
    await Worker.create({ ...common, taskQueue: longTaskQueue, maxConcurrentActivityTaskExecutions: longSlots }),
  ];
  const running = Promise.all(workers.map((worker) => worker.run()));
  const stop = (): void => {
    for (const worker of workers) if (worker.getState() === 'RUNNING') worker.shutdown();
  };
  process.once('SIGTERM', stop);
  process.once('SIGINT', stop);

  const expiring = expireStores({
    outputs,
    blobs,
    fetched,
    workflows: client.workflow,
    settings: () => readSettings(state),
    logger,
  });

  const lookAtBundles = (): void =>
    void bundles.list().catch((error: unknown) => logger.error({ error }, 'looking at the bundles failed'));
  lookAtBundles();
  const lookingAtBundles = setInterval(lookAtBundles, bundlesEveryMs);

  await onReady();
  logger.info({ taskQueue, longTaskQueue }, 'worker ready');
  const following = followSettings(
    state,
    async (now) => {
      ({ upgrade } = now);
      await accounts.follow(accountsOf(now.providers));
      await keepSweepSchedules(client, [...providers.keys()], now.sweep);
    },
    logger,
  );
  const keeping = keepPools({
    client,
    settings: () => readSettings(state),
    isWanted: keepsPools,
    resolve,
    tuning: environment.tuning,
    logger,
  });
  try {
    await running;
  } finally {
    expiring.stop();
    following.stop();
    keeping.stop();
    clearInterval(lookingAtBundles);
    await guests.close();
    for (const provider of providers.values()) await provider.close();
    await connections.close();
  }
}
