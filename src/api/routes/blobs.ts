import { Readable } from 'node:stream';
import { z } from 'zod';
import { blobParams, secretLimitBytes, secretParams } from '../../contract/http.ts';
import { discard, smallBody, streamOf } from '../body.ts';
import { describeLease } from '../lease-view.ts';
import { domainErrorOf } from '../temporal-failure.ts';
import type { ApiDeps } from '../deps.ts';
import type { Routes } from '../server.ts';

const stored = z.looseObject({ sha256: z.string(), bytes: z.int() });

export const blobRoutes: Routes = (api, deps) => {
  api.put(
    '/v1/blobs/:sha256',
    {
      schema: {
        summary: 'Upload bytes under their digest',
        params: blobParams,
        consumes: ['application/octet-stream'],
        response: { 200: stored, 201: stored },
      },
    },
    async (request, reply) => {
      const { sha256 } = request.params;
      const body = streamOf(request.body);
      if (await deps.blobs.has(sha256)) {
        await discard(request.raw, deps.blobLimitBytes);
        return { sha256, bytes: (await deps.blobs.file(sha256)).bytes };
      }
      const { bytes } = await deps.blobs.putStream(sha256, body, deps.blobLimitBytes);
      return reply.status(201).send({ sha256, bytes });
    },
  );
  api.head(
    '/v1/blobs/:sha256',
    { schema: { summary: 'Whether it is there', params: blobParams } },
    async (request, reply) => {
      const { bytes } = await deps.blobs.file(request.params.sha256);
      return reply.header('content-length', bytes).send(Readable.from([]));
    },
  );
  api.put(
    '/v1/leases/:id/secrets/:name',
    {
      schema: {
        summary:
          'Seal a value for the tasks of one lease, named lease:NAME there; before the lease is opened, or later',
        params: secretParams,
        consumes: ['application/octet-stream'],
      },
    },
    async (request, reply) => {
      const { id, name } = request.params;
      const value = await smallBody(streamOf(request.body), secretLimitBytes, `Secret ${name}`);
      // Nobody would remove it any more: the caller only repeats itself.
      if (!(await isClosed(deps, id))) await deps.secrets.seal(id, name, value);
      return reply.status(204).send();
    },
  );
};

async function isClosed(deps: ApiDeps, leaseId: string): Promise<boolean> {
  try {
    return (await describeLease(deps.client, leaseId)).status.name !== 'RUNNING';
  } catch (error) {
    if (domainErrorOf(error)?.type === 'NotFound') return false;
    throw error;
  }
}
