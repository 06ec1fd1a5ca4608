import { mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { TestWorkflowEnvironment } from '@temporalio/testing';
import { findTestServer, untilOpen, type TestServerCommand } from '../../scripts/test-server.mjs';
import { devEnvironment } from '../../src/config/dev-environment.ts';
import { spawnBound } from '../../src/dev/bound-process.ts';
import { freePorts } from '../../src/dev/ports.ts';

export interface TimeSkipping {
  /** Its clock jumps only inside `env.sleep()` or one `result()`/`execute()` of `env.client`; a running activity holds it. */
  readonly env: TestWorkflowEnvironment;
  /** For everything concurrent: two calls of `env.client` in flight hang. */
  readonly client: Client;
  /**
   * To be called after each test: a workflow that closes with an activity or a workflow task outstanding leaks a lock of the
   * server's clock, and every later test would hang.
   * @throws Error when this server skips no more
   */
  readonly assertStillSkips: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

const environment = devEnvironment();

/**
 * The time-skipping server, or nothing, said loudly: `describe.skipIf((await timeSkippingServer()) === undefined)(…)`.
 * @throws Error when it is missing and NO_TEST_SKIP=1
 */
export async function timeSkippingServer(): Promise<TestServerCommand | undefined> {
  const say = (text: string) => void process.stderr.write(`${text}\n`);
  const found = await findTestServer({ environment, say });
  if (!('missing' in found)) return found;
  const text = `SKIPPED: tests that skip time have no server. ${found.missing}`;
  if (process.env['NO_TEST_SKIP'] === '1') throw new Error(text);
  say(text);
  return undefined;
}

/** A server of the test file's own, with one clock for all its tests; it dies with this process. */
export async function createTimeSkippingEnvironment(): Promise<TimeSkipping> {
  const server = await timeSkippingServer();
  if (server === undefined) throw new Error('There is no time-skipping server: skip this file.');
  const [port] = await freePorts([undefined]);
  if (port === undefined) throw new Error('No free port');
  const folder = mkdtempSync(join(tmpdir(), 'slipway-time-'));
  const log = openSync(join(folder, 'server.log'), 'a');
  // Started by us, not by the SDK: it gives up after 5 s, which a busy machine passes, and leaves it behind when killed.
  const child = await spawnBound({
    command: server.command,
    args: [...server.args, String(port)],
    env: environment.variables,
    log,
  });
  await untilOpen(port, () => child.end() === undefined);
  const env = await TestWorkflowEnvironment.createTimeSkipping({
    server: { port, executable: { type: 'existing-path', path: '/bin/true' } },
  });
  return {
    env,
    client: new Client({ connection: env.connection }),
    assertStillSkips: async () => {
      const skipped = env.sleep('1h').then(() => 'skipped');
      const late = new Promise<string>((done) => setTimeout(() => done('late'), 1_000).unref());
      if ((await Promise.race([skipped, late])) === 'skipped') return;
      throw new Error('This server skips no more: a workflow closed with an activity or a workflow task outstanding.');
    },
    stop: async () => {
      await env.teardown();
      child.kill('SIGKILL');
      await child.ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
