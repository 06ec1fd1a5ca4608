import { Client } from '@temporalio/client';
import { NativeConnection, Runtime, DefaultLogger, Worker } from '@temporalio/worker';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { devEnvironment } from '../../src/config/dev-environment.ts';
import { claimNamespace, verifyInstallation } from '../../src/config/installation.ts';
import { searchAttributes } from '../../src/contract/messages.ts';
import { copyBeforeUpgrade } from '../../src/dev/database-copy.ts';
import { findTemporal, type TemporalCli } from '../../src/dev/temporal-find.ts';
import { missingSearchAttributes, prepareNamespace } from '../../src/dev/temporal-prepare.ts';
import { connect, namespace, startTemporalServer, type TemporalServer } from '../../src/dev/temporal-server.ts';
import { sharedTemporal } from '../support/temporal.ts';

const environment = devEnvironment();
let cli: TemporalCli;
let folder: string;
const started: TemporalServer[] = [];

const start = async (options: Partial<Parameters<typeof startTemporalServer>[0]> = {}) => {
  const server = startTemporalServer({
    cli,
    env: environment.variables,
    log: join(folder, 'temporal.log'),
    onProgress: () => undefined,
    ui: false,
    database: join(folder, 'temporal.db'),
    stopWithinMs: 0,
    ...options,
  });
  started.push(server);
  await server.service.ready;
  return server;
};

beforeAll(async () => {
  cli = await findTemporal({ environment, onProgress: () => undefined });
});
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-server-'));
});
afterEach(async () => {
  await Promise.all(started.splice(0).map(({ service }) => service.stop()));
  await rm(folder, { recursive: true, force: true });
});

describe('a server with our settings', () => {
  let client: Client;
  let worker: Worker;
  let native: NativeConnection;
  let running: Promise<void>;
  const taskQueue = 'settings';

  beforeAll(async () => {
    Runtime.install({ logger: new DefaultLogger('ERROR') });
    const { address } = sharedTemporal();
    native = await NativeConnection.connect({ address });
    worker = await Worker.create({
      connection: native,
      taskQueue,
      workflowsPath: fileURLToPath(new URL('./stand-in/settings-workflow.ts', import.meta.url)),
      activities: { touch: async () => 'touched' },
    });
    running = worker.run();
    client = new Client({ connection: await connect({ address }) });
    await timed('sleeps');
  });
  afterAll(async () => {
    worker.shutdown();
    await running;
    await client.connection.close();
    await native.close();
  });

  let count = 0;
  const timed = async (workflow: string, ...args: unknown[]) => {
    count += 1;
    const began = performance.now();
    const workflowId = `settings-${process.pid}-${count}`;
    await client.workflow.execute(workflow, { taskQueue, workflowId, args });
    return { ms: performance.now() - began, workflowId };
  };
  const best = async (workflow: string, ...args: unknown[]) => {
    const times: number[] = [];
    for (let n = 0; n < 3; n += 1) times.push((await timed(workflow, ...args)).ms);
    return Math.min(...times);
  };

  test('fires a short timer soon, not within a second', async () => {
    // 1,003 ms without the setting, 31 ms with it.
    expect(await best('sleeps')).toBeLessThan(400);
  });

  test('continues as new without waiting a second a hop', async () => {
    // 5,024 ms without the setting, 111 ms with it.
    expect(await best('hops', 3)).toBeLessThan(1_500);
  });

  test('hands activities to the worker with the answer that schedules them', async () => {
    const { workflowId } = await timed('acts');
    const history = await client.workflow.getHandle(workflowId).fetchHistory();
    const times = (history.events ?? []).map(
      ({ eventTime }) => Number(eventTime?.seconds) * 1e3 + Number(eventTime?.nanos) / 1e6,
    );
    const types = (history.events ?? []).map((event) => event.attributes);
    const waits = types.flatMap((type, i) => {
      if (type !== 'activityTaskStartedEventAttributes') return [];
      const scheduled = Number(history.events?.[i]?.activityTaskStartedEventAttributes?.scheduledEventId) - 1;
      return [(times[i] ?? 0) - (times[scheduled] ?? 0)];
    });
    expect(waits).toHaveLength(5);
    // An eager activity starts in the same transaction (0.02 ms); another waits for a queue reader and a poll (1.5 ms).
    expect(Math.min(...waits)).toBeLessThan(0.5);
  });

  test('has the search attributes and keeps closed workflows for 30 days', async () => {
    const connection = await connect({ address: sharedTemporal().address });
    expect(await missingSearchAttributes(connection, namespace)).toEqual([]);
    const found = await connection.workflowService.describeNamespace({ namespace });
    expect(Number(found.config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 86_400);
    await connection.close();
  });
});

describe('a database file', () => {
  test('is written ahead, and gets what it lacks when it was made without search attributes', async () => {
    const plain = join(folder, 'plain.sh');
    // The same server, started as somebody else would: without our attributes.
    await writeFile(plain, `#!/bin/sh\nfor a in "$@"; do shift; case "$a" in *=Keyword|--search-attribute) ;; *) set -- "$@" "$a";; esac; done\nexec ${cli.path} "$@"\n`, { mode: 0o755 }); // prettier-ignore
    const without = await start({ cli: { ...cli, path: plain } });
    const before = await connect({ address: without.address() });
    expect(await missingSearchAttributes(before, namespace)).toEqual(searchAttributes);
    await before.close();
    await without.service.stop();

    const server = await start();
    expect(existsSync(join(folder, 'temporal.db-wal'))).toBe(true);
    const connection = await connect({ address: server.address() });
    await prepareNamespace(connection, namespace, '0123456789abcdef');
    expect(await missingSearchAttributes(connection, namespace)).toEqual([]);
    const client = new Client({ connection });
    await client.workflow.start('any', {
      workflowId: 'with-attributes',
      taskQueue: 'none',
      searchAttributes: Object.fromEntries(searchAttributes.map((name) => [name, [name]])),
    });
    await expect.poll(async () => (await client.workflow.count("SlipwayOwner = 'SlipwayOwner'")).count).toBe(1);
    await connection.close();
  });

  test('carries open workflows, retention and installation over a kill -9 of the server, on the same address', async () => {
    const pids: number[] = [];
    const server = await start({ onStarted: async (pid) => void pids.push(pid) });
    const address = server.address();
    const connection = await connect({ address });
    await prepareNamespace(connection, namespace, '0123456789abcdef');
    await new Client({ connection }).workflow.start('any', { workflowId: 'open', taskQueue: 'none' });
    process.kill(pids[0] ?? 0, 'SIGKILL');
    await expect.poll(() => pids.length, { timeout: 10_000 }).toBe(2);
    await expect
      .poll(
        async () =>
          new Client({ connection }).workflow
            .getHandle('open')
            .describe()
            .then(({ status }) => status.name, String),
        {
          timeout: 20_000,
        },
      )
      .toBe('RUNNING');
    expect(server.address()).toBe(address);
    const found = await connection.workflowService.describeNamespace({ namespace });
    expect(Number(found.config?.workflowExecutionRetentionTtl?.seconds)).toBe(30 * 86_400);
    expect(await verifyInstallation(connection, namespace, '0123456789abcdef')).toBe('ours');
    await expect(claimNamespace(connection, namespace, 'fedcba9876543210')).rejects.toMatchObject({
      type: 'Forbidden',
      message: expect.stringContaining('belongs to installation 0123456789abcdef'),
    });
    await connection.close();
  });

  test('is copied aside with its log before another server version opens it, and only then', async () => {
    const database = join(folder, 'kept.db');
    expect(await copyBeforeUpgrade(database, '1.30.0')).toBeUndefined();
    await writeFile(database, 'old state');
    await writeFile(`${database}-wal`, 'old log');
    expect(await copyBeforeUpgrade(database, '1.30.0')).toBeUndefined();
    const copy = await copyBeforeUpgrade(database, '1.31.2');
    expect(copy).toBe(`${database}.before-1.31.2`);
    expect(await readFile(`${copy}`, 'utf8')).toBe('old state');
    expect(await readFile(`${copy}-wal`, 'utf8')).toBe('old log');
    expect(await copyBeforeUpgrade(database, '1.31.2')).toBeUndefined();
    expect((await readdir(folder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });
});

test('a server takes another port when the preferred one is taken, and listens on loopback only', async () => {
  const taken = Number(sharedTemporal().address.split(':')[1]);
  const server = await start({ ui: true, preferred: { port: taken, uiPort: taken } });
  const [host, port] = server.address().split(':');
  expect(host).toBe('127.0.0.1');
  expect(Number(port)).not.toBe(taken);
  const page = await fetch(server.ui() ?? '');
  expect(page.status).toBe(200);
  if (process.platform === 'linux') {
    const sockets = await readFile('/proc/net/tcp', 'utf8');
    const listening = sockets.split('\n').filter((line) => line.includes(` 00000000:0000 0A `));
    const hex = (value: string | undefined) => Number(value).toString(16).toUpperCase().padStart(4, '0');
    const hosts = listening
      .filter((line) => line.includes(`:${hex(port)} `))
      .map((line) => line.trim().split(/\s+/)[1]?.split(':')[0]);
    expect(hosts).toEqual(['0100007F']);
  }
});
