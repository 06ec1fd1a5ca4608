import { fileURLToPath } from 'node:url';
import { DefaultLogger, Runtime, Worker } from '@temporalio/worker';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { createTimeSkippingEnvironment, timeSkippingServer, type TimeSkipping } from '../support/time-skipping.ts';

describe.skipIf((await timeSkippingServer()) === undefined)('a server that skips time', () => {
  let time: TimeSkipping;
  let worker: Worker;
  let running: Promise<void>;

  beforeAll(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    time = await createTimeSkippingEnvironment();
    worker = await Worker.create({
      connection: time.env.nativeConnection,
      taskQueue: 'time',
      workflowsPath: fileURLToPath(new URL('./stand-in/settings-workflow.ts', import.meta.url)),
    });
    running = worker.run();
  });
  afterAll(async () => {
    worker.shutdown();
    await running;
    await time.stop();
  });
  afterEach(() => time.assertStillSkips());

  test('lets an hour of a workflow pass at once', async () => {
    const began = performance.now();
    const before = await time.env.currentTimeMs();
    const options = { workflowId: 'hour', taskQueue: 'time', workflowRunTimeout: '2 hours' };
    const handle = await time.client.workflow.start('waits', options);
    await time.env.sleep('61m');
    await handle.result();
    expect((await time.env.currentTimeMs()) - before).toBeGreaterThanOrEqual(61 * 60_000);
    expect(performance.now() - began).toBeLessThan(10_000);
  });
});
