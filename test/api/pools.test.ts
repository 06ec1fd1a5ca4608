import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { leaseView, problem } from '../../src/contract/http.ts';
import { poolListing, poolStatus } from '../../src/contract/pool-views.ts';
import { startApiPool } from '../support/api-pool.ts';
import { freshId, startApiBench } from './api-bench.ts';
import type { ApiBench } from './api-bench.ts';

let bench: ApiBench;
beforeAll(async () => (bench = await startApiBench()));
afterAll(() => bench.stop());

const get = async <T extends z.ZodType>(path: string, schema: T): Promise<z.output<T>> =>
  schema.parse(await (await bench.ask(path)).json());
const post = (path: string, body?: unknown): Promise<Response> =>
  bench.ask(path, { method: 'POST', ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
const open = (id: string): Promise<Response> =>
  bench.ask(`/v1/leases/${id}`, { method: 'PUT', body: JSON.stringify({ bundle: 'hello' }) });

describe('pools', { timeout: 60_000 }, () => {
  it('are listed, shown, set and drained', async () => {
    const pool = await startApiPool(bench, 'shown');
    await expect
      .poll(() => get('/v1/pools', z.array(poolListing)), { timeout: 20_000 })
      .toMatchObject([{ name: 'shown', bundle: 'hello', state: 'open', target: 1, ceiling: 2, warm: 1, waiting: 0 }]);
    expect(await get('/v1/pools/shown', poolStatus)).toMatchObject({
      name: 'shown',
      set: {},
      machines: [{ machineId: 'shown+1', phase: 'warm', uses: 0 }],
    });
    const set = await post('/v1/pools/shown/set', { target: 2 });
    expect(poolStatus.parse(await set.json())).toMatchObject({ target: 2, set: { target: 2 } });
    const refused = await post('/v1/pools/shown/set', { target: 3 });
    expect(problem.parse(await refused.json())).toMatchObject({
      status: 400,
      type: 'InvalidRequest',
      detail: 'Pool shown: a target of 3 is above the ceiling of 2 machines.',
      hint: 'set both, target and ceiling.',
    });
    expect((await post('/v1/pools/shown/set', { target: 1, reset: true })).status).toBe(400);
    expect((await post('/v1/pools/shown/set', {})).status).toBe(400);
    const drained = await post('/v1/pools/shown/drain', { reason: 'new image' });
    expect(poolStatus.parse(await drained.json())).toMatchObject({ why: 'new image', target: 0 });
    expect(poolStatus.parse(await (await post('/v1/pools/shown/drain')).json())).toMatchObject({ why: 'by hand' });
    await pool.stop();
    expect(await get('/v1/pools/shown', poolStatus)).toMatchObject({ state: 'retracted', machines: [] });
    expect(await get('/v1/pools', z.array(poolListing))).toEqual([]);
    for (const answer of [await post('/v1/pools/shown/drain'), await bench.ask('/v1/pools/nope')])
      expect([answer.status, problem.parse(await answer.json()).type]).toEqual([404, 'NotFound']);
  });

  it('show a lease that waits its place as it is now, and are done with a machine when its lease is', async () => {
    const pool = await startApiPool(bench, 'busy', { target: 0, ceiling: 1 });
    const [first, second, third] = [freshId(), freshId(), freshId()];
    await open(first);
    expect(await get(`/v1/leases/${first}?wait=ready`, leaseView)).toMatchObject({
      state: 'ready',
      attempts: [{ machineId: 'busy+1', phases: [{ phase: 'ready' }] }],
      machine: { pool: { name: 'busy', uses: 1 } },
    });
    for (const [id, place] of [
      [second, 1],
      [third, 2],
    ] as const) {
      await open(id);
      await expect
        .poll(async () => (await get(`/v1/leases/${id}`, leaseView)).queue, { timeout: 20_000 })
        .toMatchObject({ pool: 'busy', place });
    }
    await post(`/v1/leases/${second}/cancel`);
    await expect
      .poll(async () => (await get(`/v1/leases/${third}`, leaseView)).queue, { timeout: 20_000 })
      .toMatchObject({ place: 1, of: 1 });
    await post(`/v1/leases/${first}/release`);
    expect(await get(`/v1/leases/${first}?wait=gone`, leaseView)).toMatchObject({
      state: 'released',
      attempts: [{ machineId: 'busy+1', phase: 'gone' }],
    });
    expect(await get(`/v1/leases/${third}?wait=ready`, leaseView)).toMatchObject({ state: 'ready' });
    await post(`/v1/leases/${third}/release`);
    await get(`/v1/leases/${third}?wait=gone`, leaseView);
    await pool.stop();
  });
});
