import { z } from 'zod';
import { reasonBody } from '../../contract/lease.ts';
import { poolSetBody } from '../../contract/pool.ts';
import { poolListing, poolParams, poolStatus } from '../../contract/pool-views.ts';
import { drainPool, listPools, setPool, showPool } from '../pools.ts';
import type { Routes } from '../server.ts';

export const poolRoutes: Routes = (api, deps) => {
  api.get(
    '/v1/pools',
    { schema: { summary: 'The pools of warm machines', response: { 200: z.array(poolListing) } } },
    async () => [...(await listPools(deps))],
  );
  api.get(
    '/v1/pools/:name',
    {
      schema: {
        summary: 'A pool with its machines and who waits for one',
        params: poolParams,
        response: { 200: poolStatus },
      },
    },
    (request) => showPool(deps.client, request.params.name),
  );
  api.post(
    '/v1/pools/:name/set',
    {
      schema: {
        summary: 'Keep more or fewer machines, until the declaration changes; or go back to what is declared',
        params: poolParams,
        body: poolSetBody,
        response: { 200: poolStatus },
      },
    },
    (request) => setPool(deps, request.params.name, request.body),
  );
  api.post(
    '/v1/pools/:name/drain',
    {
      schema: {
        summary: 'Let go of all machines that nobody leases, and make no others until a target is set',
        params: poolParams,
        body: z.preprocess((body) => body ?? {}, reasonBody),
        response: { 200: poolStatus },
      },
    },
    (request) => drainPool(deps, request.params.name, request.body),
  );
};
