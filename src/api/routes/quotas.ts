import { z } from 'zod';
import { quotaListing, quotaParams, quotaStatus } from '../../contract/quota-views.ts';
import { listQuotas, showQuota } from '../quotas.ts';
import type { Routes } from '../server.ts';

export const quotaRoutes: Routes = (api, deps) => {
  api.get(
    '/v1/quotas',
    { schema: { summary: 'What accounts allow, and what of it is in use', response: { 200: z.array(quotaListing) } } },
    async () => [...(await listQuotas(deps))],
  );
  api.get(
    '/v1/quotas/:account',
    {
      schema: {
        summary: 'An account with who has what of it, and who waits for it and why',
        params: quotaParams,
        response: { 200: quotaStatus },
      },
    },
    (request) => showQuota(deps, request.params.account),
  );
};
