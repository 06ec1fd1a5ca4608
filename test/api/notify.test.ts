import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { leaseView, problem } from '../../src/contract/http.ts';
import { until } from '../support/until.ts';
import { freshId, startApiBench, type ApiBench } from './api-bench.ts';

vi.setConfig({ testTimeout: 60_000 });

let bench: ApiBench;
beforeAll(async () => (bench = await startApiBench()));
afterAll(() => bench.stop());

const notify = { url: 'https://ci.example.com/hook/t0ken', secret: 'hook' };
const put = (id: string, body: object) =>
  bench.ask(`/v1/leases/${id}`, { method: 'PUT', body: JSON.stringify({ bundle: 'hello', ...body }) });
const view = async (id: string, query = '') =>
  leaseView.parse(await (await bench.ask(`/v1/leases/${id}${query}`)).json());
const metric = async (state: string): Promise<number> => {
  const text = await (await bench.ask('/metrics')).text();
  return Number(new RegExp(`^slipway_notifications\\{state="${state}"\\} (\\d+)$`, 'm').exec(text)?.[1]);
};

describe('a lease that tells its dispatcher', () => {
  it('says whom, without the path, and how its calls stand, also when it is over', async () => {
    const id = freshId();
    bench.world.hold('notify');
    expect((await put(id, { notify, job: { command: ['true'] } })).status).toBe(201);
    expect((await put(id, { notify, job: { command: ['true'] } })).status).toBe(200);
    expect((await put(id, { notify: { ...notify, secret: 'other' }, job: { command: ['true'] } })).status).toBe(409);
    await view(id, '?wait=ended');
    const sending = { state: 'sending', since: expect.any(String) as string, tries: 0 };
    expect((await view(id)).notify).toEqual({ to: 'https://ci.example.com', ready: sending, ended: sending });
    await until('both are counted', async () => (await metric('sending')) === 2);
    bench.world.letGo('notify');
    await until('both are told', async () => {
      const { notify: told } = await view(id);
      return told?.ready?.state === 'sent' && told.ended?.state === 'sent';
    });
    expect((await view(id)).notify?.ended?.at).toEqual(expect.any(String));
    await until('none is under way', async () => (await metric('sending')) === 0);
    expect(JSON.stringify(await view(id))).not.toContain('t0ken');
  });

  it('says why it could not, while it tries and when it has given up', async () => {
    const id = freshId();
    bench.world.faults = [
      { activity: 'notify', side: 'before', type: 'NotifyUnanswered', retryable: true, times: Infinity },
    ];
    await put(id, { notify });
    await until('it was tried', async () => ((await view(id)).notify?.ready?.tries ?? 0) > 0);
    expect((await view(id)).notify?.ready).toMatchObject({
      state: 'sending',
      reason: { type: 'NotifyUnanswered', message: 'injected before notify' },
    });
    const before = await metric('failed');
    bench.world.faults = [{ activity: 'notify', side: 'before', type: 'NotifyRefused' }];
    await until('it is given up', async () => (await view(id)).notify?.ready?.state === 'failed');
    expect((await view(id)).notify?.ready).toMatchObject({
      at: expect.any(String) as string,
      reason: { type: 'NotifyRefused', message: 'injected before notify' },
    });
    await until('it is counted', async () => (await metric('failed')) === before + 1);
    await bench.ask(`/v1/leases/${id}/release`, { method: 'POST' });
    expect((await view(id, '?wait=ended')).state).toBe('released');
  });

  it('says when somebody has ended a call by hand', async () => {
    const id = freshId();
    bench.world.hold('notify');
    await put(id, { notify });
    await until('it is told', async () => (await view(id)).notify?.ready !== undefined);
    await bench.client.workflow.getHandle(`notify/${id}/ready`).terminate('by hand');
    bench.world.letGo('notify');
    expect((await view(id)).notify?.ready).toMatchObject({
      state: 'failed',
      reason: { type: 'Gone', message: `Its workflow notify/${id}/ready is terminated.` },
    });
    await bench.ask(`/v1/leases/${id}/release`, { method: 'POST' });
  });

  it.each([
    [{ url: 'file:///etc/passwd', secret: 'hook' }, 'notify.url', 'must be an http or https URL'],
    [{ url: 'https://me@ci.example.com/', secret: 'hook' }, 'notify.url', 'must not hold credentials'],
    [{ url: 'http://[::ffff:169.254.169.254]/', secret: 'hook' }, 'notify.url', 'is an address that is never called'],
    [{ url: 'https://ci.example.com/', secret: 'lease:HOOK' }, 'notify.secret', 'must be letters, digits'],
    [{ url: 'https://ci.example.com/' }, 'notify.secret', 'expected string'],
  ])('is refused with %j', async (wrong, path, words) => {
    const answer = await put(freshId(), { notify: wrong });
    expect(answer.status).toBe(400);
    const { issues } = problem.parse(await answer.json());
    expect(issues).toEqual([{ path, message: expect.stringContaining(words) as string }]);
  });
});
