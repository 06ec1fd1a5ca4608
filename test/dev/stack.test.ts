import { existsSync } from 'node:fs';
import { mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '@temporalio/client';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readStackFile } from '../../src/config/stack-file.ts';
import { ensureStack, findStack, stopStack } from '../../src/dev/stack.ts';
import { connect } from '../../src/dev/temporal-server.ts';
import { startTestTemporal, type TestTemporal } from '../support/temporal.ts';
import { entries, processesOf, stackKit, type StackKit } from './stack-kit.ts';

let kit: StackKit;
beforeEach(async () => {
  kit = await stackKit();
});
afterEach(() => kit.close());

const openWorkflow = async (address: string, workflowId = 'open') => {
  const connection = await connect({ address });
  const handle = await new Client({ connection }).workflow.start('any', { workflowId, taskQueue: 'none' });
  return {
    handle,
    end: async () => {
      await handle.terminate();
      await connection.close();
    },
  };
};

describe('a stack in the foreground', () => {
  test('starts in order, answers, keeps its folder to its owner, and stops in order at Ctrl-C', async () => {
    const dev = kit.foreground();
    const stack = await dev.ready();
    expect(stack).toMatchObject({ pid: dev.process.pid, mode: 'foreground', tokenFile: kit.state.token });
    expect(await findStack(kit.state)).toEqual(stack);
    expect((await stat(kit.state.root)).mode & 0o777).toBe(0o700);
    for (const secret of [kit.state.token, kit.state.installationKey])
      expect((await stat(secret)).mode & 0o777).toBe(0o600);
    expect(await readFile(join(kit.state.root, '.gitignore'), 'utf8')).toBe('*\n');
    dev.process.kill('SIGINT');
    expect(await dev.over).toBe(0);
    expect(dev.said()).toMatch(/Stopping: API, worker, Temporal/);
    expect((await kit.order()).slice(-2)).toEqual(['api stopped', 'worker stopped']);
    expect(existsSync(kit.state.stack)).toBe(false);
    expect(processesOf(kit.state)).toEqual([]);
    expect(await findStack(kit.state)).toBeUndefined();
  });

  test('is refused with all mistakes of slipway.yaml at once, before anything is started', async () => {
    await writeFile(kit.state.config, 'api: {port: x}\npools: {foo: {bundle: foo, target: 5, ceiling: 2}}\n');
    const dev = kit.foreground();
    expect(await dev.over).toBe(1);
    expect(dev.said()).toBe(
      'InvalidRequest: slipway.yaml has 2 mistakes: slipway.yaml:1:13 api.port: expected a number, found text; ' +
        'slipway.yaml:2:36 pools.foo.target: 5 machines are more than the ceiling of 2\n' +
        `Mend ${kit.state.config}.\n`,
    );
    expect(processesOf(kit.state)).toEqual([]);
    const mistakes = [expect.objectContaining({ line: 1 }), expect.objectContaining({ line: 2 })];
    await expect(ensureStack(kit.state, { mode: 'background', entries })).rejects.toMatchObject({
      type: 'InvalidRequest',
      details: { mistakes },
    });
  });

  test('is told who holds the folder when it is the second', async () => {
    const first = await kit.foreground().ready();
    const second = kit.foreground();
    expect(await second.over).toBe(1);
    expect(second.said()).toContain(`is held by process ${first.pid} since 20`);
    expect(second.said()).toContain(`API ${first.url} · Temporal ${first.temporal.address} · UI ${first.temporal.ui}`);
    expect(second.said()).toContain('slipway dev stop');
    expect(await findStack(kit.state)).toEqual(first);
  });

  test('starts a process again that was killed, says so, and tells the new address of the API', async () => {
    const dev = kit.foreground();
    const before = await dev.ready();
    const old = kit.children();
    for (const name of ['worker', 'api', 'temporal'] as const) process.kill(old[name], 'SIGKILL');
    for (const name of ['worker', 'api', 'temporal']) {
      await expect
        .poll(dev.said, { timeout: 15_000 })
        .toMatch(new RegExp(`The ${name} ended \\(signal SIGKILL\\); starting it again in 0.2 s`));
    }
    await expect
      .poll(() => Object.entries(kit.children()).every(([name, pid]) => pid !== old[name as keyof typeof old]), {
        timeout: 15_000,
      })
      .toBe(true);
    await expect
      .poll(async () => (await readStackFile(kit.state.stack))?.api?.url, { timeout: 15_000 })
      .not.toBe(before.url);
    const after = await findStack(kit.state);
    expect(after).toMatchObject({ pid: before.pid, temporal: before.temporal });
  });

  test('leaves no process when it is killed with -9, and the next start picks everything up', async () => {
    const dev = kit.foreground();
    const first = await dev.ready();
    const work = await openWorkflow(first.temporal.address);
    dev.process.kill('SIGKILL');
    await dev.over;
    await expect.poll(() => processesOf(kit.state), { timeout: 5_000 }).toEqual([]);
    expect(existsSync(kit.state.stack)).toBe(true);
    expect(await findStack(kit.state)).toBeUndefined();

    const second = await kit.foreground().ready();
    expect(second.pid).not.toBe(first.pid);
    const again = await connect({ address: second.temporal.address });
    const seen = await new Client({ connection: again }).workflow.getHandle(work.handle.workflowId).describe();
    expect(seen.status.name).toBe('RUNNING');
    await again.close();
  });

  test('ends with the last lines of a process that never gets ready', async () => {
    await mkdir(kit.state.run, { recursive: true });
    await writeFile(join(kit.state.run, 'worker-broken'), '');
    const dev = kit.foreground();
    expect(await dev.over).toBe(1);
    expect(dev.said()).toMatch(/The worker ended before it was ready \(exit 3\), 5 times in a row\. Its last lines:/);
    // As a sentence, once: it said so five times, as JSON.
    const [, lines = ''] = dev.said().split('Its last lines:');
    expect(lines.split('the stand-in worker is broken on purpose')).toHaveLength(2);
    expect(lines).not.toContain('level');
    expect(dev.said()).toMatch(/\(exit 3\): .*broken on purpose.*; starting it again in/);
    expect(dev.said()).toContain(join(kit.state.log, 'worker.log'));
    expect(processesOf(kit.state)).toEqual([]);
    expect(existsSync(kit.state.stack)).toBe(false);
  });

  test('ends quietly when it is stopped while it is starting', async () => {
    const dev = kit.foreground();
    await expect.poll(dev.said, { timeout: 10_000, interval: 5 }).toMatch(/Temporal dev server/);
    dev.process.kill('SIGTERM');
    expect(await dev.over).toBe(0);
    expect(dev.said()).not.toMatch(/^ready /m);
    expect(processesOf(kit.state)).toEqual([]);
  });

  test('refuses a folder whose key is not the one that its database belongs to', async () => {
    const first = kit.foreground();
    await first.ready();
    first.process.kill('SIGTERM');
    await first.over;
    await writeFile(kit.state.installationKey, `${'ab'.repeat(32)}\n`);
    const second = kit.foreground();
    expect(await second.over).toBe(1);
    expect(second.said()).toMatch(/Forbidden: The Temporal namespace default belongs to installation [0-9a-f]{16}/);
  });
});

describe('a stack in the background', () => {
  test('takes the place of one that another version left, and of its file', async () => {
    await mkdir(kit.state.root, { recursive: true });
    await writeFile(kit.state.stack, '{"version":0}');
    expect(await findStack(kit.state)).toBeUndefined();
    expect(await ensureStack(kit.state, { mode: 'background', entries })).toMatchObject({ started: true });
  });

  test('is started once for two callers at once, and found by the third', async () => {
    const options = { mode: 'background', entries } as const;
    const both = await Promise.all([ensureStack(kit.state, options), ensureStack(kit.state, options)]);
    expect(both.filter(({ started }) => started)).toHaveLength(1);
    expect(both[0].stack).toEqual(both[1].stack);
    expect(await ensureStack(kit.state, options)).toEqual({ stack: both[0].stack, started: false });
    expect(await stopStack(kit.state)).toBe('stopped');
    expect(processesOf(kit.state)).toEqual([]);
    expect(await stopStack(kit.state)).toBe('absent');
  });

  test('stays while a workflow is open and ends when none has been for its idle time', async () => {
    const { stack } = await ensureStack(kit.state, { mode: 'background', entries, idleMs: 600 });
    const work = await openWorkflow(stack.temporal.address);
    const stackLog = () => readFile(join(kit.state.log, 'stack.log'), 'utf8');
    // Three times its idle time: it has looked more than ten times.
    await new Promise((done) => setTimeout(done, 2_000));
    expect(await findStack(kit.state)).toBeDefined();
    await work.end();
    await expect.poll(() => processesOf(kit.state), { timeout: 15_000 }).toEqual([]);
    expect(await stackLog()).toContain('Nothing was open');
  });

  test('tells what kept it from starting to whoever asked for it', async () => {
    await mkdir(kit.state.run, { recursive: true });
    await writeFile(join(kit.state.run, 'worker-broken'), '');
    await expect(ensureStack(kit.state, { mode: 'background', entries })).rejects.toMatchObject({
      type: 'Internal',
      message: expect.stringMatching(/worker.*5 times in a row.*broken on purpose/s),
      hint: expect.stringContaining('worker.log'),
    });
    expect(processesOf(kit.state)).toEqual([]);
  });
});

describe('a one-shot stack', () => {
  test('is not idle while its client is connected, and ends at once when its client is done', async () => {
    const { stack, started } = await ensureStack(kit.state, { mode: 'one-shot', entries, idleMs: 200 });
    expect({ started, mode: stack.mode }).toEqual({ started: true, mode: 'one-shot' });
    await new Promise((done) => setTimeout(done, 1_500));
    expect(await findStack(kit.state)).toEqual(stack);
    expect(await stopStack(kit.state, { unlessBusy: true })).toBe('stopped');
    expect(processesOf(kit.state)).toEqual([]);
  });

  test('stays in the background when its client is done and others have work open', async () => {
    const { stack } = await ensureStack(kit.state, { mode: 'one-shot', entries });
    const work = await openWorkflow(stack.temporal.address);
    expect(await stopStack(kit.state, { unlessBusy: true })).toBe('busy');
    expect(await findStack(kit.state)).toMatchObject({ pid: stack.pid, mode: 'background' });
    await work.end();
  });
});

describe('a stack on a foreign Temporal server', () => {
  let server: TestTemporal;
  // A server of this test's own: the stack marks its namespace.
  beforeEach(async () => {
    server = await startTestTemporal();
  });
  afterEach(() => server.stop());

  test('is found with its namespace, and leaves that server alone', async () => {
    const dev = kit.foreground({ temporal: server.address });
    const stack = await dev.ready();
    expect(stack.temporal).toEqual({ address: server.address, namespace: 'default' });
    expect(await readStackFile(kit.state.stack)).toMatchObject({ temporal: { profile: '' } });
    expect((await readdir(kit.state.root)).filter((name) => name.startsWith('temporal.db'))).toEqual([]);
    dev.process.kill('SIGINT');
    expect(await dev.over).toBe(0);
    const connection = await connect({ address: server.address });
    await connection.close();
  });

  test('is not used unless asked for', async () => {
    const stack = await kit.foreground({ unasked: server.address }).ready();
    expect(stack.temporal.address).not.toBe(server.address);
  });
});

test('a stack on a system without setpriv dies with its supervisor too', async () => {
  const dev = kit.foreground({ path: '' });
  await dev.ready();
  expect(processesOf(kit.state).length).toBeGreaterThan(6);
  dev.process.kill('SIGKILL');
  await dev.over;
  await expect.poll(() => processesOf(kit.state), { timeout: 5_000 }).toEqual([]);
  const again = kit.foreground({ path: '' });
  await again.ready();
  again.process.kill('SIGTERM');
  expect(await again.over).toBe(0);
  expect((await kit.order()).slice(-2)).toEqual(['api stopped', 'worker stopped']);
  expect(processesOf(kit.state)).toEqual([]);
});
