import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Notification } from '../../src/domain/notify.ts';
import { decoded } from '../support/decoded.ts';
import { alive, dist, freshId, startTestStack, type TestStack } from '../support/stack.ts';
import { startReceiver, type Call, type Receiver } from '../support/receiver.ts';
import { until } from '../support/until.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

const secret = `whsec_${Buffer.from('planted-3f9ac17be2d84c60').toString('base64')}`;
let stack: TestStack;
let receiver: Receiver;
/** The lines of the documentation, each as a program of its own: a call on its standard input, its verdict on the other. */
let verifiers: Readonly<Record<string, readonly string[]>>;

beforeAll(async () => {
  receiver = await startReceiver();
  stack = await startTestStack({
    env: { OPERATORS_HOOK: secret },
    settings: 'secrets: {hook: {env: OPERATORS_HOOK}}\nnotify: {allow: [127.0.0.1]}\n',
    bundles: { bare: 'variants: [{provider: local}]\n' },
  });
  const page = await readFile(new URL('../../docs/dispatching.md', import.meta.url), 'utf8');
  const block = (language: string): string => new RegExp(`\`\`\`${language}\n([^]*?)\n\`\`\``).exec(page)?.[1] ?? '';
  const at = (name: string): string => join(stack.root, name);
  await writeFile(at('verify.mts'), block('ts'));
  const modules = join(dirname(dist), 'node_modules');
  const tsc = [
    join(modules, 'typescript', 'bin', 'tsc'),
    '--strict',
    '--noUncheckedIndexedAccess',
    '--target',
    'es2022',
  ];
  const types = ['--module', 'nodenext', '--types', 'node', '--typeRoots', join(modules, '@types')];
  await run(process.execPath, [...tsc, ...types, at('verify.mts')], { cwd: stack.root });
  await writeFile(
    at('verdict.mjs'),
    "import { isGenuine } from './verify.mjs';\nconsole.log(isGenuine(...JSON.parse(process.argv[2])));\n",
  );
  await writeFile(
    at('verify.py'),
    `${block('python')}\n\nimport json, sys\nsecret, headers, body = json.loads(sys.argv[1])\nprint(str(is_genuine(secret, headers, body.encode())).lower())\n`,
  );
  verifiers = { TypeScript: [process.execPath, at('verdict.mjs')], Python: ['python3', at('verify.py')] };
});
afterAll(async () => {
  await stack.stop();
  await receiver.stop();
});

const run = promisify(execFile);
const verdict = async ([program = '', ...words]: readonly string[], ...given: unknown[]): Promise<string> =>
  (await run(program, [...words, JSON.stringify(given)])).stdout.trim();

const job = { command: ['sh', '-c', 'echo hi; exit 3'] };
const open = (leaseId: string, url = receiver.url) =>
  stack.create({ leaseId, bundle: 'bare', job, notify: { url, secret: 'hook' } });
const bodyOf = ({ body }: Call): Notification => JSON.parse(body) as Notification;
const callsOf = (leaseId: string, calls = receiver.calls): readonly Call[] =>
  calls.filter((call) => bodyOf(call).data.leaseId === leaseId);
const typesOf = (calls: readonly Call[]): readonly string[] => calls.map((call) => bodyOf(call).type);
const took = (leaseId: string): Promise<void> =>
  until('both calls are taken', async () => {
    const { notify } = await stack.get(leaseId);
    return notify?.ready?.state === 'sent' && notify.ended?.state === 'sent';
  });

describe('a dispatcher', () => {
  it('is told twice, after errors of its own too, with calls that the documentation’s lines verify', async () => {
    const leaseId = freshId('told');
    receiver.next(500);
    await open(leaseId);
    await took(leaseId);
    const calls = callsOf(leaseId);
    expect([...typesOf(calls)].sort()).toEqual(
      // Whichever came first was refused, and came again.
      typesOf(calls)[0] === 'lease.ready'
        ? ['lease.ended', 'lease.ready', 'lease.ready']
        : ['lease.ended', 'lease.ended', 'lease.ready'],
    );
    const ended = calls.find((call) => bodyOf(call).type === 'lease.ended');
    expect(ended && bodyOf(ended).data).toMatchObject({ leaseId, state: 'released', job: { exitCode: 3 } });
    for (const words of Object.values(verifiers)) {
      for (const { headers, body } of calls) {
        expect(await verdict(words, secret, headers, body)).toBe('true');
        expect(
          await verdict(words, secret, headers, body.replace('released', 'expired').replace('working', 'ready')),
        ).toBe('false');
        expect(await verdict(words, 'whsec_AAAA', headers, body)).toBe('false');
        expect(await verdict(words, secret, { ...headers, 'webhook-timestamp': '1767225600' }, body)).toBe('false');
        const rotated = `v1,AAAA ${String(headers['webhook-signature'])}`;
        expect(await verdict(words, secret, { ...headers, 'webhook-signature': rotated }, body)).toBe('true');
      }
    }
    await stack.wait(leaseId, 'gone');
  });

  it('whose call is under way when the worker is killed with -9 is told again, under the same id', async () => {
    const leaseId = freshId('killed');
    // The first call is never answered.
    receiver.next(() => undefined);
    await open(leaseId);
    await until('it is called', () => callsOf(leaseId).length > 0);
    const before = await stack.killHard('worker');
    await until('another worker runs', async () => {
      const now = await stack.pidOf('worker');
      return now !== undefined && now !== before && alive(now);
    });
    await took(leaseId);
    const calls = callsOf(leaseId);
    const [first] = calls;
    const again = calls.filter(({ headers }) => headers['webhook-id'] === first?.headers['webhook-id']);
    expect(again.length).toBeGreaterThanOrEqual(2);
    expect(new Set(again.map(({ body }) => body)).size).toBe(1);
    expect([...new Set(typesOf(calls))].sort()).toEqual(['lease.ended', 'lease.ready']);
    expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
  });

  it('that is down keeps nothing waiting, and is told when it is up', async () => {
    const gone = await startReceiver();
    await gone.stop();
    const leaseId = freshId('down');
    await open(leaseId, gone.url);
    // The lease and its machine are over while nobody has heard of it.
    expect(await stack.wait(leaseId, 'gone')).toMatchObject({ state: 'released', machine: { phase: 'gone' } });
    await until('it was tried', async () => ((await stack.get(leaseId)).notify?.ended?.tries ?? 0) > 0);
    expect((await stack.get(leaseId)).notify?.ended).toMatchObject({
      state: 'sending',
      reason: { type: 'NotifyUnanswered', message: `${gone.origin} was not told: ECONNREFUSED.` },
    });
    const up = await startReceiver(gone.port);
    await took(leaseId);
    expect([...typesOf(callsOf(leaseId, up.calls))].sort()).toEqual(['lease.ended', 'lease.ready']);
    await up.stop();
  });

  it('that wants no more is not asked again', async () => {
    const leaseId = freshId('enough');
    receiver.next(410, 410);
    await open(leaseId);
    await until('both are given up', async () => {
      const { notify } = await stack.get(leaseId);
      return notify?.ready?.state === 'failed' && notify.ended?.state === 'failed';
    });
    expect((await stack.get(leaseId)).notify?.ended?.reason).toMatchObject({
      type: 'NotifyRefused',
      message: expect.stringContaining(`${receiver.origin} answered 410: it is told no more. Try: `) as string,
    });
    expect(callsOf(leaseId).length).toBe(2);
    expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
  });
});

describe('a request', () => {
  const put = async (notify: unknown) => {
    const body = JSON.stringify({ bundle: 'bare', notify });
    const answer = await stack.call(`/v1/leases/${freshId('refused')}`, { method: 'PUT', body });
    return { status: answer.status, ...((await answer.json()) as { detail: string; hint: string }) };
  };

  it('with a secret that the operator does not have, or a host that is not allowed, is refused', async () => {
    const unknown = await put({ url: receiver.url, secret: 'hok' });
    expect(unknown.status).toBe(400);
    expect(unknown.detail).toMatch(/notify\.secret: No secret `hok`\. Near: hook\./);
    const elsewhere = await put({ url: 'http://10.1.2.3/hook', secret: 'hook' });
    expect(elsewhere.status).toBe(400);
    expect(elsewhere.detail).toContain('notify.url: 10.1.2.3 is not among the hosts that may be called.');
    expect(elsewhere.hint).toContain('slipway.yaml');
  });

  it('over plain Temporal is refused alike', async () => {
    const leaseId = freshId('plain');
    const handle = await stack.client.workflow.start('lease', {
      taskQueue: 'slipway',
      workflowId: `lease/${leaseId}`,
      args: [{ leaseId, bundle: 'bare', notify: { url: receiver.url, secret: 'hok' } }],
    });
    await expect(handle.result()).rejects.toMatchObject({
      cause: { type: 'InvalidRequest', message: expect.stringContaining('No secret `hok`') as string },
    });
  });
});

it('the key is in no history and in no log, and the path of the URL in no log', async () => {
  const texts: string[] = [await stack.logs()];
  for await (const { workflowId, runId } of stack.client.workflow.list())
    texts.push(decoded(await stack.client.workflow.getHandle(workflowId, runId).fetchHistory()));
  const where = (value: string): number => texts.filter((text) => text.includes(value)).length;
  expect([where(secret), where('planted-3f9ac17be2d84c60')]).toEqual([0, 0]);
  expect(texts[0]).not.toContain('t0ken');
  // It would be found: the inputs have it.
  expect(where('t0ken')).toBeGreaterThan(0);
});
