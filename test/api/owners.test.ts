import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { leaseListing, leaseView, problem } from '../../src/contract/http.ts';
import type { LeaseView } from '../../src/contract/http.ts';
import { freshId, startApiBench } from './api-bench.ts';
import type { ApiBench } from './api-bench.ts';

let bench: ApiBench;
beforeAll(async () => (bench = await startApiBench()));
afterAll(() => bench.stop());

const ana = 'token-of-ana';
const ci = 'token-of-ci';
const put = (id: string, body: unknown, token: string) =>
  bench.ask(`/v1/leases/${id}`, { method: 'PUT', body: JSON.stringify(body) }, token);
const view = async (path: string): Promise<LeaseView> => leaseView.parse(await (await bench.ask(path)).json());
const end = (id: string) =>
  bench
    .ask(`/v1/leases/${id}/cancel`, { method: 'POST' })
    .then(() => bench.ask(`/v1/leases/${id}?wait=gone&timeoutMs=20000`));

describe('a lease', () => {
  it('belongs to the one whose token opened it, and its machine too', async () => {
    const id = freshId();
    expect(await (await put(id, { bundle: 'hello', priority: -7 }, ana)).json()).toMatchObject({ owner: 'ana' });
    expect(await view(`/v1/leases/${id}?wait=ready`)).toMatchObject({ owner: 'ana' });
    for (const workflowId of [`lease/${id}`, `machine/${id}.1`]) {
      const { searchAttributes } = await bench.client.workflow.getHandle(workflowId).describe();
      expect(searchAttributes).toMatchObject({ SlipwayOwner: ['ana'] });
    }
    await end(id);
    expect(await view(`/v1/leases/${id}`)).toMatchObject({ owner: 'ana', state: 'cancelled' });
  });

  it('is nobody’s known when it was started without the API, and then everybody’s', async () => {
    const id = freshId();
    await bench.client.workflow.start('lease', {
      taskQueue: bench.taskQueue,
      workflowId: `lease/${id}`,
      args: [{ leaseId: id, bundle: 'hello' }],
    });
    const same = await put(id, { bundle: 'hello' }, ana);
    expect([same.status, await same.json()]).toMatchObject([200, { owner: 'unknown' }]);
    await end(id);
  });

  it('takes no owner from a body', async () => {
    const answer = await put(freshId(), { bundle: 'hello', owner: 'ci' }, ana);
    expect(answer.status).toBe(400);
  });

  it('has a priority from -100 to 100', async () => {
    for (const priority of [-101, 101, 0.5, 'high']) {
      const answer = await put(freshId(), { bundle: 'hello', priority }, ana);
      expect([priority, answer.status]).toEqual([priority, 400]);
    }
  });

  it('is listed by its owner', async () => {
    const [mine, theirs] = [freshId(), freshId()];
    await put(mine, { bundle: 'hello' }, ana);
    await put(theirs, { bundle: 'hello' }, ci);
    const listed = async (query: string) =>
      leaseListing.array().parse(await (await bench.ask(`/v1/leases?limit=1000&${query}`)).json());
    const ids = async (query: string) => (await listed(query)).map(({ leaseId }) => leaseId);
    await expect.poll(() => ids('owner=ci')).toContain(theirs);
    expect(await ids('owner=ci')).not.toContain(mine);
    await expect.poll(() => ids('owner=ana')).toContain(mine);
    await Promise.all([end(mine), end(theirs)]);
    await expect
      .poll(async () => (await listed('owner=ci&state=all')).find(({ leaseId }) => leaseId === theirs))
      .toMatchObject({ owner: 'ci', state: 'cancelled' });
    expect((await bench.ask(`/v1/leases?owner=${encodeURIComponent('" OR 1=1')}`)).status).toBe(400);
  });
});

describe('an id that another owner has', () => {
  it.each(['open', 'ended'])('is refused in the same words whatever their body, while it is %s', async (state) => {
    const id = freshId();
    const body = { bundle: 'hello', metadata: { customer: 'secret-corp' } };
    await put(id, body, ci);
    if (state === 'ended') await end(id);
    const refusals = await Promise.all(
      [body, { bundle: 'hello' }].map(async (asked) => {
        const answer = await put(id, asked, ana);
        const { requestId: _, ...said } = problem.parse(await answer.json());
        return said;
      }),
    );
    expect(refusals[0]).toMatchObject({ type: 'IdConflict', status: 409, hint: 'another id.' });
    expect(refusals[1]).toEqual(refusals[0]);
    expect(JSON.stringify(refusals)).not.toMatch(/secret-corp|ci\b|ended|body/);
    expect((await put(id, body, ci)).status).toBe(200);
    if (state === 'open') await end(id);
  });
});
