import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { taskStatus, taskSummary } from '../../src/contract/answers.ts';
import { createFrameReader } from '../../src/contract/frames.ts';
import { noOutput } from '../../src/domain/task.ts';
import { freshId, startApiBench } from './api-bench.ts';
import type { ApiBench } from './api-bench.ts';

let bench: ApiBench;
beforeAll(async () => (bench = await startApiBench()));
afterAll(() => bench.stop());

const json = JSON.stringify;
const put = (path: string, body: unknown) => bench.ask(path, { method: 'PUT', body: json(body) });
const post = (path: string) => bench.ask(path, { method: 'POST' });

/** A gate that a fake job waits at. */
function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open: () => void = () => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

/** Reads a follow as far as the predicate says, or to its end. */
async function read(answer: Response, enough: (text: string) => boolean = () => false) {
  const frame = createFrameReader();
  const reader = answer.body?.getReader();
  const got = { stdout: '', stderr: '', control: undefined as unknown, kind: '' };
  for (;;) {
    const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
    if (done) return got;
    for (const piece of frame(value as Uint8Array)) {
      if ('text' in piece) {
        got.control = JSON.parse(piece.text);
        got.kind = piece.stream;
      } else {
        expect(piece.offset).toBeGreaterThanOrEqual(0);
        got[piece.stream] += Buffer.from(piece.bytes).toString();
      }
    }
    if (enough(got.stdout)) {
      await reader?.cancel();
      return got;
    }
  }
}

describe('a task', () => {
  it('runs once per id, and answers the same body with the same task, also after the lease has ended', async () => {
    const id = freshId();
    await put(`/v1/leases/${id}`, { bundle: 'hello' });
    await bench.ask(`/v1/leases/${id}?wait=ready`);
    const spec = { command: ['make', '-j4'], env: { A: '1' } };
    const first = await put(`/v1/leases/${id}/tasks/build`, spec);
    expect(first.status).toBe(201);
    expect(taskSummary.parse(await first.json())).toMatchObject({ taskId: 'build', command: ['make', '-j4'] });
    expect((await put(`/v1/leases/${id}/tasks/build`, spec)).status).toBe(200);
    expect((await put(`/v1/leases/${id}/tasks/build`, { command: ['make'] })).status).toBe(409);
    await expect
      .poll(async () => taskStatus.parse(await (await bench.ask(`/v1/leases/${id}/tasks/build`)).json()).state)
      .toBe('exited');
    await post(`/v1/leases/${id}/release`);
    await bench.ask(`/v1/leases/${id}?wait=ended`);
    expect((await put(`/v1/leases/${id}/tasks/build`, spec)).status).toBe(200);
    expect((await put(`/v1/leases/${id}/tasks/build`, { command: ['make'] })).status).toBe(409);
    expect((await put(`/v1/leases/${id}/tasks/other`, spec)).status).toBe(410);
    const listed = (await (await bench.ask(`/v1/leases/${id}/tasks`)).json()) as { taskId: string }[];
    expect(listed.map(({ taskId }) => taskId)).toEqual(['build']);
  });

  it('that runs is cancelled, and one that has ended stays as it is', async () => {
    const id = freshId();
    bench.world.hold('followTask');
    await put(`/v1/leases/${id}`, { bundle: 'hello', job: { command: ['sleep', '1000'] } });
    await bench.world.isHeld('followTask');
    expect((await post(`/v1/leases/${id}/tasks/job/cancel`)).status).toBe(200);
    await bench.ask(`/v1/leases/${id}?wait=ended`);
    const again = await post(`/v1/leases/${id}/tasks/job/cancel`);
    expect(await again.json()).toMatchObject({ state: 'cancelled', result: { cancelled: true } });
    expect((await post(`/v1/leases/${id}/tasks/nope/cancel`)).status).toBe(404);
    bench.world.letGo('followTask');
  });
});

describe('output', () => {
  it('is followed from before the task exists, live, with both streams apart, to its result', async () => {
    const id = freshId();
    const more = gate();
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', 'one\n');
      await write('stderr', 'oops\n');
      await more.opened;
      await write('stdout', 'two\n');
      return 7;
    });
    bench.world.hold('awaitAccessible');
    await put(`/v1/leases/${id}`, { bundle: 'hello', job: { command: ['x'] } });
    await bench.world.isHeld('awaitAccessible');
    const answer = await bench.ask(`/v1/leases/${id}/tasks/job/follow`);
    expect(answer.headers.get('content-type')).toBe('application/vnd.slipway.frames');
    const early = await bench.ask(`/v1/leases/${id}/tasks/job/follow`);
    bench.world.letGo('awaitAccessible');
    // Seen while the job still runs: it waits for that.
    expect((await read(early, (text) => text.includes('one'))).stdout).toBe('one\n');
    const resumed = await bench.ask(`/v1/leases/${id}/tasks/job/follow?out=2&err=5`);
    more.open();
    expect(await read(answer)).toMatchObject({
      stdout: 'one\ntwo\n',
      stderr: 'oops\n',
      kind: 'end',
      control: { exitCode: 7, state: 'exited' },
    });
    expect(await read(resumed)).toMatchObject({ stdout: 'e\ntwo\n', stderr: '', kind: 'end' });
    expect(await read(await bench.ask(`/v1/leases/${id}/tasks/job/follow?out=8&err=5`))).toMatchObject({
      stdout: '',
      kind: 'end',
    });
  });

  it('of a task that its lease ended without is a problem, not a wait for ever', async () => {
    const id = freshId();
    bench.world.hold('createMachine');
    await put(`/v1/leases/${id}`, { bundle: 'hello', job: { command: ['x'] } });
    await bench.world.isHeld('createMachine');
    const answer = await bench.ask(`/v1/leases/${id}/tasks/job/follow`);
    await post(`/v1/leases/${id}/cancel`);
    bench.world.letGo('createMachine');
    expect(await read(answer)).toMatchObject({ kind: 'problem', control: { type: 'NotFound', status: 404 } });
  });

  it('of a task that was terminated ends with what its lease knows', async () => {
    const id = freshId();
    const never = gate();
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', 'partial');
      await never.opened;
      return 0;
    });
    await put(`/v1/leases/${id}`, { bundle: 'hello', job: { command: ['x'] } });
    const answer = await bench.ask(`/v1/leases/${id}/tasks/job/follow`);
    await expect.poll(async () => (await bench.ask(`/v1/leases/${id}/tasks/job/stdout`)).text()).toBe('partial');
    await bench.client.workflow.getHandle(`task/${id}/job`).terminate('test');
    expect(await read(answer)).toMatchObject({ stdout: 'partial', kind: 'end', control: { lost: true } });
    never.open();
  });

  it('of a task that its lease gave up comes whole, with the end that the task tells', async () => {
    const id = freshId();
    const late = gate();
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', 'partial ');
      await late.opened;
      await write('stdout', 'and whole');
      return 3;
    });
    await put(`/v1/leases/${id}`, { bundle: 'hello', job: { command: ['x'] } });
    const answer = await bench.ask(`/v1/leases/${id}/tasks/job/follow`);
    await expect.poll(async () => (await bench.ask(`/v1/leases/${id}/tasks/job/stdout`)).text()).toBe('partial ');
    const lost = { state: 'lost', exitCode: null, signal: null, timedOut: false, cancelled: false, lost: true };
    const rest = { command: ['x'], startedAt: null, durationMs: 0, stdout: noOutput, stderr: noOutput };
    await bench.client.workflow.getHandle(`lease/${id}`).signal('taskEnded', { taskId: 'job', ...lost, ...rest });
    const ended = await bench.ask(`/v1/leases/${id}?wait=ended`);
    expect(await ended.json()).toMatchObject({ state: 'failed', reason: { type: 'GuestLost' } });
    late.open();
    expect(await read(answer)).toMatchObject({ stdout: 'partial and whole', kind: 'end', control: { exitCode: 3 } });
  });

  it('beats while a task is silent', async () => {
    const id = freshId();
    const end = gate();
    bench.jobs.set(`${id}/job`, async () => {
      await end.opened;
      return 0;
    });
    await put(`/v1/leases/${id}`, { bundle: 'hello', job: { command: ['x'] } });
    const answer = await bench.ask(`/v1/leases/${id}/tasks/job/follow`);
    const reader = answer.body?.getReader();
    let beats = 0;
    for (let seen = 0; seen < 40;) {
      const { value } = (await reader?.read()) ?? {};
      seen += value?.length ?? 0;
      beats += 1;
    }
    expect(beats).toBeGreaterThan(1);
    end.open();
    await reader?.cancel();
  });

  it('is read by range', async () => {
    const id = freshId();
    bench.jobs.set(`${id}/job`, async (write) => {
      await write('stdout', '0123456789');
      return 0;
    });
    await put(`/v1/leases/${id}`, { bundle: 'hello', job: { command: ['x'] } });
    await bench.ask(`/v1/leases/${id}?wait=ended`);
    const path = `/v1/leases/${id}/tasks/job/stdout`;
    const part = async (range: string) => {
      const answer = await bench.ask(path, { headers: { range } });
      return [answer.status, answer.headers.get('content-range'), answer.status < 300 ? await answer.text() : ''];
    };
    expect(await (await bench.ask(path)).text()).toBe('0123456789');
    expect(await part('bytes=2-4')).toEqual([206, 'bytes 2-4/10', '234']);
    expect(await part('bytes=7-')).toEqual([206, 'bytes 7-9/10', '789']);
    expect(await part('bytes=-3')).toEqual([206, 'bytes 7-9/10', '789']);
    expect(await part('bytes=5-100')).toEqual([206, 'bytes 5-9/10', '56789']);
    expect(await part('bytes=10-')).toEqual([416, 'bytes */10', '']);
    expect(await part('bytes=3-1')).toEqual([200, null, '0123456789']);
    expect(await part('lines=1-2')).toEqual([200, null, '0123456789']);
    const sha256 = createHash('sha256').update('0123456789').digest('hex');
    const head = await bench.ask(path, { method: 'HEAD' });
    expect([head.headers.get('content-length'), head.headers.get('etag')]).toEqual(['10', `"${sha256}"`]);
    expect(await (await bench.ask(`/v1/leases/${id}/tasks/job/stderr`)).text()).toBe('');
  });
});
