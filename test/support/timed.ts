import { Client } from '@temporalio/client';
import { temporal } from '@temporalio/proto';
import { test } from 'vitest';
import { searchAttributes } from '../../src/contract/messages.ts';
import type { LeaseRequest } from '../../src/domain/lease.ts';
import type { FakeWorld } from './fake-world.ts';
import { createFakes, createLeases, type Leased } from './lease-bench.ts';
import { createTimeSkippingEnvironment, timeSkippingServer } from './time-skipping.ts';
import { until } from './until.ts';
import { quietRuntime, startWorkers } from './workflow-bench.ts';

export const minuteMs = 60_000;
export const hourMs = 60 * minuteMs;

quietRuntime();
/** There is no server that skips time here: `describe.skipIf(missing)`. */
export const missing = (await timeSkippingServer()) === undefined;

/** A lease's world on a server of its own: a child that closes after its parent leaks a lock, and the clock skips no more. */
export interface Time {
  readonly bench: ReturnType<typeof createLeases>;
  readonly client: Client;
  readonly taskQueue: string;
  readonly worldOf: (name: string) => FakeWorld;
  readonly lease: (request: Partial<LeaseRequest>, prepare?: (world: FakeWorld) => void) => Promise<Leased>;
  readonly nowMs: () => Promise<number>;
  /** Nothing may end on the way. */
  readonly skip: (ms: number) => Promise<void>;
  /** Skips until something has ended; the clock may stand from then on. */
  readonly skipTo: (ms: number, what: string, is: () => boolean | Promise<boolean>) => Promise<void>;
}

async function startTime(): Promise<Time & { readonly stop: () => Promise<void> }> {
  const time = await createTimeSkippingEnvironment();
  const { connection } = time.env;
  const keyword = temporal.api.enums.v1.IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD;
  await connection.operatorService.addSearchAttributes({
    namespace: 'default',
    searchAttributes: Object.fromEntries(searchAttributes.map((name) => [name, keyword])),
  });
  const client = new Client({ connection });
  const fakes = createFakes(client);
  const workers = await startWorkers(time.env.nativeConnection, fakes.activities);
  const bench = createLeases(client, workers.taskQueue, fakes.world);
  const sleeps = new Set<Promise<void>>();
  return {
    bench,
    client,
    taskQueue: workers.taskQueue,
    worldOf: fakes.world,
    lease: (request, prepare = () => undefined) =>
      bench.lease(request, (world) => {
        // The watch fails for good, again and again: a running one would hold the clock.
        world.faults = [{ activity: 'watchMachine', side: 'before', times: Infinity }];
        prepare(world);
      }),
    nowMs: () => time.env.currentTimeMs(),
    skip: (ms) => time.env.sleep(ms),
    skipTo: async (ms, what, is) => {
      const sleep = time.env.sleep(ms).finally(() => sleeps.delete(sleep));
      sleeps.add(sleep);
      await until(what, is);
    },
    stop: async () => {
      // A call that is still under way would outlive the connection.
      await until('the clock runs again', async () => {
        if (sleeps.size > 0) await connection.testService?.unlockTimeSkipping({});
        return sleeps.size === 0;
      });
      await workers.stop();
      await time.stop();
    },
  };
}

/** A test with a clock of its own. */
export const timed = test.extend<{ readonly time: Time }>({
  // oxlint-disable-next-line no-empty-pattern -- the form of a fixture
  time: async ({}, use) => {
    const { stop, ...time } = await startTime();
    await use(time);
    await stop();
  },
});
