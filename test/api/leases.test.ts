import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leaseStatus, machineStatus } from '../../src/contract/answers.ts';
import { leaseListing, leaseView, problem } from '../../src/contract/http.ts';
import type { LeaseListing, LeaseView } from '../../src/contract/http.ts';
import { sweepReport } from '../../src/contract/sweep.ts';
import { freshId, startApiBench } from './api-bench.ts';
import type { ApiBench } from './api-bench.ts';

let bench: ApiBench;
beforeAll(async () => (bench = await startApiBench()));
afterAll(() => bench.stop());

const json = JSON.stringify;
const put = (id: string, body: unknown) => bench.ask(`/v1/leases/${id}`, { method: 'PUT', body: json(body) });
const post = (path: string, body?: unknown) =>
  bench.ask(path, { method: 'POST', ...(body === undefined ? {} : { body: json(body) }) });
const viewOf = async (answer: Response | Promise<Response>): Promise<LeaseView> =>
  leaseView.parse(await (await answer).json());
const waitFor = (id: string, wait: string) => viewOf(bench.ask(`/v1/leases/${id}?wait=${wait}&timeoutMs=20000`));

describe('opening', () => {
  it('a new lease is created, and the same body again is the same lease', async () => {
    const id = freshId();
    const first = await put(id, { bundle: 'hello', ttlMs: 60_000 });
    expect(first.status).toBe(201);
    expect(leaseStatus.parse(await first.json())).toMatchObject({ leaseId: id, bundle: { name: 'hello' } });
    const second = await put(id, { ttlMs: 60_000, bundle: 'hello', leaseId: id });
    expect(second.status).toBe(200);
    const other = await put(id, { bundle: 'hello', ttlMs: 61_000 });
    expect(other.status).toBe(409);
    expect(other.headers.get('content-type')).toMatch('application/problem+json');
    expect(problem.parse(await other.json())).toMatchObject({ type: 'IdConflict', status: 409 });
    await post(`/v1/leases/${id}/release`);
  });

  it('a lease that has ended answers the same body with its result, and refuses another', async () => {
    const id = freshId();
    const body = { bundle: 'hello', job: { command: ['true'] } };
    await put(id, body);
    expect(await waitFor(id, 'ended')).toMatchObject({ state: 'released' });
    const again = await put(id, body);
    expect(again.status).toBe(200);
    expect(leaseStatus.parse(await again.json())).toMatchObject({
      state: 'released',
      tasks: [{ taskId: 'job', state: 'exited' }],
    });
    expect((await put(id, { ...body, ttlMs: 1 })).status).toBe(409);
  });

  it('twenty callers at once with one body open one lease', async () => {
    const id = freshId();
    const answers = await Promise.all(Array.from({ length: 20 }, () => put(id, { bundle: 'hello' })));
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([...Array(19).fill(200), 201]);
    await post(`/v1/leases/${id}/cancel`);
  });

  it('a lease without an id gets one', async () => {
    const answer = await post('/v1/leases', { bundle: 'hello' });
    expect(answer.status).toBe(201);
    const { leaseId } = await viewOf(answer);
    expect(leaseId).toMatch(/^[a-z]+-[a-z]+-[a-z0-9]{4}$/);
    expect(answer.headers.get('location')).toBe(`/v1/leases/${leaseId}`);
    await post(`/v1/leases/${leaseId}/release`, {});
  });

  it('an unknown bundle is refused with the near ones, and no lease is made', async () => {
    const id = freshId();
    bench.sealed.set(`${id}/TOKEN`, 'x');
    const answer = await put(id, { bundle: 'helo' });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ type: 'InvalidRequest', detail: 'No bundle `helo`. Near: hello.' });
    expect((await bench.ask(`/v1/leases/${id}`)).status).toBe(404);
    expect(bench.sealed.has(`${id}/TOKEN`)).toBe(false);
  });

  it('every mistake of a request is named at once, with its place', async () => {
    const answer = await put('UPPER', { bundle: 'hello', ttlMs: -1, job: { command: [], colour: 'red' } });
    expect(answer.status).toBe(400);
    const body = problem.parse(
      await (
        await put('ok-id', {
          bundle: 'hello',
          ttlMs: -1,
          job: { command: ['a'], colour: 'red' },
          files: [{ path: 'relative' }],
        })
      ).json(),
    );
    expect(body.issues?.map(({ path }) => path)).toEqual(expect.arrayContaining(['ttlMs', 'job', 'files.0.path']));
    expect(body.requestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it('a command as one text is told how it is written', async () => {
    const answer = await put(freshId(), { bundle: 'hello', job: { command: 'ls -l', stdin: 'x' } });
    const { issues } = problem.parse(await answer.json());
    expect(issues).toEqual([
      { path: 'job.command', message: 'must be a list of words, such as ["ls", "-l"], or {"shell": "a text for sh"}' },
      { path: 'job.stdin', message: 'must be {"text": "…"}, or {"blob": "…"} with the digest of what was put' },
    ]);
  });

  it('a body whose leaseId is not that of the path is refused', async () => {
    expect((await put(freshId(), { leaseId: 'other', bundle: 'hello' })).status).toBe(400);
  });
});

describe('a standing lease', () => {
  it('is waited for by many callers, which share one waiter', async () => {
    const id = freshId();
    bench.world.hold('awaitAccessible');
    await put(id, { bundle: 'hello' });
    await bench.world.isHeld('awaitAccessible');
    const waiting = Promise.all(Array.from({ length: 30 }, () => waitFor(id, 'ready')));
    const impatient = await viewOf(bench.ask(`/v1/leases/${id}?wait=ready&timeoutMs=50`));
    expect(impatient).toMatchObject({ state: 'acquiring', machine: { phase: 'waiting' } });
    bench.world.letGo('awaitAccessible');
    const views = await waiting;
    expect(new Set(views.map(({ state }) => state))).toEqual(new Set(['ready']));
    expect(views[0]?.attempts[0]?.phases.map(({ phase }) => phase)).toContain('waiting');
    const gone = waitFor(id, 'gone');
    const released = await viewOf(post(`/v1/leases/${id}/release`, { reason: 'done' }));
    expect(['releasing', 'released']).toContain(released.state);
    expect(await gone).toMatchObject({ state: 'released', machine: { phase: 'gone' }, attempts: [{ phase: 'gone' }] });
    const again = await viewOf(post(`/v1/leases/${id}/release`));
    expect(again.state).toBe('released');
  });

  it('is extended, within what its bundle allows', async () => {
    const id = freshId();
    await put(id, { bundle: 'hello', ttlMs: 60_000 });
    const before = await waitFor(id, 'ready');
    const after = await viewOf(post(`/v1/leases/${id}/extend`, { byMs: 60_000 }));
    expect(Date.parse(after.times.expires ?? '') - Date.parse(before.times.expires ?? '')).toBe(60_000);
    const tooMuch = await post(`/v1/leases/${id}/extend`, { byMs: 864_000_000 });
    expect(await tooMuch.json()).toMatchObject({ type: 'InvalidRequest', status: 400 });
    await post(`/v1/leases/${id}/cancel`, { reason: 'test' });
    expect(await waitFor(id, 'gone')).toMatchObject({ state: 'cancelled' });
    expect((await post(`/v1/leases/${id}/extend`, { byMs: 1_000 })).status).toBe(410);
    expect((await post(`/v1/leases/${id}/ready`)).status).toBe(410);
    expect((await post(`/v1/leases/${id}/cancel`)).status).toBe(200);
  });

  it('that was terminated is told as failed', async () => {
    const id = freshId();
    await put(id, { bundle: 'hello' });
    await waitFor(id, 'ready');
    await bench.client.workflow.getHandle(`lease/${id}`).terminate('test');
    expect(await waitFor(id, 'ended')).toMatchObject({ leaseId: id, state: 'failed', reason: { type: 'Gone' } });
    await bench.client.workflow.getHandle(`machine/${id}.1`).signal('release', {});
  });

  it('that a stranger started with mistakes is told as failed, with them', async () => {
    const id = freshId();
    const handle = await bench.client.workflow.start('lease', {
      taskQueue: bench.taskQueue,
      workflowId: `lease/${id}`,
      args: [{ leaseId: id, bundle: 7 }],
    });
    await handle.result().catch(() => undefined);
    expect(await viewOf(bench.ask(`/v1/leases/${id}`))).toMatchObject({
      leaseId: id,
      state: 'failed',
      reason: { type: 'InvalidRequest' },
    });
  });

  it('is listed while it is open, and with state=all after it', async () => {
    const id = freshId();
    await put(id, { bundle: 'hello' });
    await waitFor(id, 'ready');
    const listed = async (query: string): Promise<LeaseListing | undefined> =>
      leaseListing
        .array()
        .parse(await (await bench.ask(`/v1/leases?${query}`)).json())
        .find(({ leaseId }) => leaseId === id);
    await expect
      .poll(() => listed('limit=500'))
      .toMatchObject({ state: 'ready', bundle: 'hello', machineId: `${id}.1`, tasks: 0 });
    const machine = await bench.ask(`/v1/machines/${id}.1`);
    expect(machineStatus.parse(await machine.json())).toMatchObject({ machineId: `${id}.1`, phase: 'ready' });
    const machines = (await (await bench.ask('/v1/machines?limit=500')).json()) as { machineId: string }[];
    expect(machines.map(({ machineId }) => machineId)).toContain(`${id}.1`);
    await post(`/v1/leases/${id}/release`);
    await waitFor(id, 'ended');
    await expect.poll(() => listed('state=all&limit=1000')).toMatchObject({ state: 'released', bundle: 'hello' });
    await expect.poll(() => listed('limit=500')).toBe(undefined);
  });

  it('that does not exist is not found', async () => {
    for (const path of [
      'nope',
      'nope?wait=ready',
      'nope/tasks',
      'nope/tasks/job',
      'nope/tasks/job/follow',
      'nope/tasks/job/stdout',
    ]) {
      const answer = await bench.ask(`/v1/leases/${path}`);
      expect([path, answer.status]).toEqual([path, 404]);
      expect(await answer.json()).toMatchObject({ type: 'NotFound' });
    }
    expect((await post('/v1/leases/nope/cancel')).status).toBe(404);
    expect((await post('/v1/leases/nope/release')).status).toBe(404);
    expect((await bench.ask('/v1/machines/nope')).status).toBe(404);
  });
});

it('a sweep answers what it found', async () => {
  const answer = await post('/v1/sweep');
  expect(sweepReport.parse(await answer.json())).toEqual(bench.world.inventory);
});
