import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { OutputAdvanced } from '../../src/domain/task.ts';
import { freshId, sha256, startTestStack, type TestStack } from '../support/stack.ts';

// All processes of a stack start here, on a machine that may be busy.
vi.setConfig({ testTimeout: 150_000, hookTimeout: 120_000 });

let stack: TestStack;
const bare = 'variants:\n  - provider: local\n';
const hasty = `${bare}attempts: 1\nreadyWithinMs: 3s\nloadWithinMs: 1s\n`;
const failing = `${bare}attempts: 2
commands:
  - run: [sh, -c, 'echo hello; echo broken >&2; exit 3']
    title: the broken step
`;

beforeAll(async () => {
  stack = await startTestStack({ bundles: { bare, failing, hasty } });
});
afterAll(() => stack.stop());

const job = (script: string) => ({ command: ['sh', '-c', script] });

it('the local provider has the tier that this run is for', async () => {
  const checks = await stack.json<readonly { name: string; ok: boolean; summary: string }[]>('/v1/providers');
  const tier = /tier (\w+)/.exec(checks.find(({ name }) => name === 'local')?.summary ?? '')?.[1];
  process.stdout.write(`tier ${tier} of the local provider\n`);
  expect(tier).toBe(process.env['SLIPWAY_TEST_TIER'] ?? tier);
  expect(['root', 'userns', 'plain']).toContain(tier);
});

describe('a lease with a job', () => {
  it('runs it on a ready machine, keeps stdout and stderr apart, and leaves nothing', async () => {
    const leaseId = freshId('job');
    await stack.create({
      leaseId,
      bundle: 'hello',
      job: job('cat ~/names.txt | wc -l; for i in 1 2 3; do echo out $i; echo err $i >&2; done; exit 7'),
    });
    const { out, err, result } = await stack.follow(leaseId);
    expect(out.toString()).toMatch(/^\s*\d+\nout 1\nout 2\nout 3\n$/);
    expect(err.toString()).toBe('err 1\nerr 2\nerr 3\n');
    expect(result).toMatchObject({ state: 'exited', exitCode: 7, signal: null, lost: false });
    expect(result?.stdout).toMatchObject({ bytes: out.length, cut: false, sha256: sha256(out) });
    const view = await stack.wait(leaseId, 'gone');
    expect(view.state).toBe('released');
    expect(await stack.machinesLeft()).toEqual([]);
  });

  it('costs at most 130 events', async () => {
    const leaseId = freshId('events');
    await stack.create({ leaseId, bundle: 'bare', job: job('exit 0') });
    await stack.wait(leaseId, 'gone');
    const ids = [`lease/${leaseId}`, `machine/${leaseId}.1`, `task/${leaseId}/job`];
    const counts = await Promise.all(
      ids.map(async (id) => (await stack.client.workflow.getHandle(id).fetchHistory()).events?.length ?? 0),
    );
    expect(counts.reduce((a, b) => a + b)).toBeLessThanOrEqual(130);
  });

  it.each([
    ['a command that does not exist', { command: ['no-such-command-here'] }, 127],
    ['one that is killed by a signal', job('kill -9 $$'), 137],
    ['one that leaves a background child', job('sleep 300 & echo left'), 0],
    ['output without a newline', job('printf abc'), 0],
  ])('tells the true exit of %s', async (_name, spec, exitCode) => {
    const leaseId = freshId('exit');
    await stack.create({ leaseId, bundle: 'bare', job: spec });
    const { result } = await stack.follow(leaseId);
    expect(result).toMatchObject({ state: 'exited', exitCode });
    await stack.wait(leaseId, 'gone');
  });

  it('keeps binary output and a million short lines byte for byte', async () => {
    const leaseId = freshId('bytes');
    await stack.create({ leaseId, bundle: 'bare', job: job("printf '\\377\\000\\200\\n' >&2; seq 1 1000000") });
    const { out, err } = await stack.follow(leaseId);
    const lines = Array.from({ length: 1_000_000 }, (_, n) => `${n + 1}\n`).join('');
    expect(sha256(out)).toBe(sha256(lines));
    expect([...err]).toEqual([0xff, 0x00, 0x80, 0x0a]);
    await stack.wait(leaseId, 'gone');
    // Who looks at it later, also in the Temporal UI, sees how it ended.
    const output = await stack.client.workflow.getHandle(`task/${leaseId}/job`).query<OutputAdvanced>('output');
    expect(output.stdout).toEqual({ bytes: lines.length, tail: lines.slice(-2_048) });
    expect(output.stderr.bytes).toBe(4);
  });

  it('passes environment, working directory and standard input', async () => {
    const leaseId = freshId('env');
    const blob = await stack.blob(Buffer.from('from a blob\n'));
    await stack.create({
      leaseId,
      bundle: 'bare',
      job: { command: { shell: 'echo "$ODD"; pwd; cat' }, env: { ODD: `a'b"c $x \\ ü` }, cwd: '/', stdin: { blob } },
    });
    expect((await stack.follow(leaseId)).out.toString()).toBe(`a'b"c $x \\ ü\n/\nfrom a blob\n`);
    await stack.wait(leaseId, 'gone');
  });

  it('ends a command at its time limit with TERM, and says so', async () => {
    const leaseId = freshId('limit');
    await stack.create({ leaseId, bundle: 'bare', job: { command: ['sleep', '300'], limitMs: 500, graceMs: 1_000 } });
    expect((await stack.follow(leaseId)).result).toMatchObject({ state: 'timedOut', timedOut: true });
    await stack.wait(leaseId, 'gone');
  });

  it('kills within the grace what ignores TERM when the task is cancelled', async () => {
    const leaseId = freshId('cancel');
    await stack.create({
      leaseId,
      bundle: 'bare',
      job: { ...job("trap '' TERM; echo up; while :; do sleep 0.1; done"), graceMs: 500 },
    });
    let told = false;
    const { result } = await stack.follow(leaseId, 'job', () => {
      if (!told) void stack.post(`/v1/leases/${leaseId}/tasks/job/cancel`);
      told = true;
    });
    expect(result).toMatchObject({ state: 'cancelled', cancelled: true, signal: 'KILL' });
    await stack.wait(leaseId, 'gone');
  });
});

describe('a lease without a job', () => {
  it('holds its machine for any number of tasks until it is released, and each id runs once', async () => {
    const leaseId = freshId('hold');
    await stack.create({ leaseId, bundle: 'bare' });
    const ready = await stack.wait(leaseId, 'ready');
    expect(ready.access?.fingerprint).toMatch(/^SHA256:/);
    for (const taskId of ['one', 'two']) {
      await stack.runTask(leaseId, taskId, job(`echo ${taskId} >> $HOME/ran; cat $HOME/ran`));
      await stack.runTask(leaseId, taskId, job(`echo ${taskId} >> $HOME/ran; cat $HOME/ran`));
    }
    await stack.follow(leaseId, 'one');
    const { out } = await stack.follow(leaseId, 'two');
    expect(out.toString().split('\n').filter(Boolean).toSorted()).toEqual(['one', 'two']);
    const other = await stack.call(`/v1/leases/${leaseId}/tasks/one`, {
      method: 'PUT',
      body: JSON.stringify(job('other')),
    });
    expect(other.status).toBe(409);
    await stack.post(`/v1/leases/${leaseId}/release`);
    expect((await stack.wait(leaseId, 'gone')).state).toBe('released');
    expect(await stack.machinesLeft()).toEqual([]);
  });

  it('is the same lease for the same body, also after its end, and refuses another body', async () => {
    const leaseId = freshId('same');
    const body = { leaseId, bundle: 'bare', job: job('exit 0') };
    await stack.create(body);
    await stack.create(body);
    await stack.wait(leaseId, 'gone');
    expect((await stack.create(body)).state).toBe('released');
    const other = await stack.call(`/v1/leases/${leaseId}`, {
      method: 'PUT',
      body: JSON.stringify({ ...body, bundle: 'hello' }),
    });
    expect(other.status).toBe(409);
  });
});

describe('a lease that cannot be had', () => {
  it('names the step that failed on each of its machines, and leaves neither', async () => {
    const leaseId = freshId('fails');
    await stack.create({ leaseId, bundle: 'failing' });
    const view = await stack.wait(leaseId, 'ended');
    expect(view).toMatchObject({ state: 'failed', reason: { type: 'CustomizeFailed' } });
    expect(view.attempts).toHaveLength(2);
    for (const attempt of view.attempts) {
      expect(attempt).toMatchObject({ phase: 'gone', failedStep: { title: 'the broken step', exitCode: 3 } });
    }
    expect(await stack.machinesLeft()).toEqual([]);
  });

  it('says so when its provider does not finish the create in time, and leaves nothing', async () => {
    const leaseId = freshId('hasty');
    await stack.knobs({ gates: { create: 'before', machine: `^${leaseId}` } });
    await stack.create({ leaseId, bundle: 'hasty', job: job('exit 0') });
    const view = await stack.wait(leaseId, 'ended');
    await stack.knobs({});
    expect(view.reason?.message).toMatch(
      new RegExp(
        `^Machine ${leaseId}.1 \\(provider local\\) was not .* within 1 s of provisioning.` +
          ` Last: Provider local did not finish the create of ${leaseId}.1 in its time. Try: slipway provider check local`,
      ),
    );
    await stack.wait(leaseId, 'gone');
    expect(await stack.machinesLeft()).toEqual([]);
  });

  it('says that a folder is not there when a file should go into it', async () => {
    const leaseId = freshId('folder');
    const blob = await stack.blob(Buffer.from('x'));
    await stack.create({
      leaseId,
      bundle: 'bare',
      attempts: 1,
      files: [{ blob, sha256: blob, path: '~/no/such/folder/file' }],
    });
    const view = await stack.wait(leaseId, 'ended');
    expect(view.state).toBe('failed');
    expect(JSON.stringify(view.attempts)).toContain('no/such/folder');
  });

  it('is refused at once, with the near names, when the bundle is unknown', async () => {
    const leaseId = freshId('near');
    const response = await stack.call(`/v1/leases/${leaseId}`, {
      method: 'PUT',
      body: JSON.stringify({ bundle: 'helo' }),
    });
    expect(response.status).toBe(400);
    expect(await response.text()).toContain('Near: hello');
  });
});
