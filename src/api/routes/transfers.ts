import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import { leaseParams } from '../../contract/http.ts';
import {
  fetchedParams,
  fileOrder,
  fileParams,
  fileStatus,
  keyBody,
  keyGrant,
  keyParams,
} from '../../contract/transfer.ts';
import { leavingOf } from '../leaving.ts';
import { rangeOf } from '../range.ts';
import type { Routes } from '../server.ts';
import { cancelFile, letKeyIn, moveFile, takeKeyOut } from '../transfers.ts';

export const transferRoutes: Routes = (api, deps) => {
  api.put(
    '/v1/leases/:id/files/:file',
    {
      schema: {
        summary: 'Put a file on the machine of a lease, or get one from it; asked again until it is moved',
        params: fileParams,
        body: fileOrder,
        response: { 200: fileStatus, 202: fileStatus },
      },
    },
    async (request, reply) => {
      const { id: leaseId, file: fileId } = request.params;
      const status = await moveFile(deps, { leaseId, fileId, order: request.body }, leavingOf(reply));
      return reply.status(status.state === 'moved' ? 200 : 202).send(status);
    },
  );
  api.delete(
    '/v1/leases/:id/files/:file',
    { schema: { summary: 'Give a move up', params: fileParams } },
    async (request, reply) => {
      await cancelFile(deps, request.params.id, request.params.file);
      return reply.status(204).send();
    },
  );
  api.get(
    '/v1/files/:sha256',
    {
      schema: {
        summary: 'What was fetched from a machine; answers a Range',
        params: fetchedParams,
        produces: ['application/octet-stream'],
      },
    },
    async (request, reply) => {
      const { sha256 } = request.params;
      const { path, bytes } = await deps.fetched.file(sha256);
      reply.type('application/octet-stream').header('accept-ranges', 'bytes').header('etag', `"${sha256}"`);
      const range = rangeOf(request.headers.range, bytes);
      if (range === 'unsatisfiable') return reply.status(416).header('content-range', `bytes */${bytes}`).send();
      const { start, end } = range ?? { start: 0, end: bytes };
      if (range) reply.status(206).header('content-range', `bytes ${start}-${end - 1}/${bytes}`);
      reply.header('content-length', end - start);
      // A stream cannot say that it ends before it begins.
      if (request.method === 'HEAD' || end === start) return reply.send(Readable.from([]));
      return reply.send(createReadStream(path, { start, end: end - 1 }));
    },
  );
  api.post(
    '/v1/leases/:id/keys',
    {
      schema: {
        summary: 'Let a public key log in to the machine for a time',
        params: leaseParams,
        body: keyBody,
        response: { 201: keyGrant },
      },
    },
    async (request, reply) => reply.status(201).send(await letKeyIn(deps, request.params.id, request.body)),
  );
  api.delete(
    '/v1/leases/:id/keys/:key',
    { schema: { summary: 'Take a key out again; who is logged in stays so', params: keyParams } },
    async (request, reply) => {
      await takeKeyOut(deps, request.params.id, request.params.key);
      return reply.status(204).send();
    },
  );
};
