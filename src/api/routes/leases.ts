import { z } from 'zod';
import { leaseListing, leaseParams, leaseView, listQuery, waitQuery } from '../../contract/http.ts';
import { longestWaitMs } from '../../contract/wait.ts';
import { leaseStatus } from '../../contract/answers.ts';
import { extendBody, leaseRequest, markReadyBody, reasonBody } from '../../contract/lease.ts';
import { DomainError } from '../../domain/failure.ts';
import { isMap } from '../../domain/is-map.ts';
import { leaseNameFrom } from '../../domain/lease-name.ts';
import { leaseView as viewOf } from '../lease-view.ts';
import { cancelLease, extendLease, markReady, openLease, releaseLease } from '../leases.ts';
import { listLeases } from '../listings.ts';
import { leavingOf } from '../leaving.ts';
import type { Routes } from '../server.ts';

/** A body may be left out where all of it is optional. */
const optional = <T extends z.ZodType>(schema: T) => z.preprocess((body) => body ?? {}, schema);

export const leaseRoutes: Routes = (api, deps, waits) => {
  /** The id comes by the path, and may stand in the body too, if it is the same. */
  const named = (body: unknown, id: string): unknown => {
    if (!isMap(body)) return body;
    const { leaseId = id } = body as { leaseId?: unknown };
    if (leaseId !== id) {
      throw new DomainError(
        'InvalidRequest',
        `leaseId: is ${JSON.stringify(leaseId)?.slice(0, 80)}, but the path says ${id}.`,
        {
          details: { issues: [{ path: 'leaseId', message: `must be ${id}, as in the path` }] },
        },
      );
    }
    return { leaseId: id, ...body };
  };
  api.put(
    '/v1/leases/:id',
    {
      schema: {
        summary: 'Open a lease; the same id with the same body is the same lease',
        params: leaseParams,
        body: leaseRequest,
        response: { 200: leaseStatus, 201: leaseStatus },
      },
      preValidation: async (request) => {
        request.body = named(request.body, request.params.id) as never;
      },
    },
    async (request, reply) => {
      const { status, created } = await openLease(deps, request.body, request.owner);
      return reply.status(created ? 201 : 200).send(status);
    },
  );
  api.post(
    '/v1/leases',
    {
      schema: {
        summary: 'Open a lease under an id that is made here',
        body: leaseRequest,
        response: { 201: leaseStatus },
      },
      preValidation: async (request) => {
        request.body = named(request.body, leaseNameFrom(Math.random)) as never;
      },
    },
    async (request, reply) => {
      const { status } = await openLease(deps, request.body, request.owner);
      return reply.status(201).header('location', `/v1/leases/${status.leaseId}`).send(status);
    },
  );
  api.get(
    '/v1/leases',
    { schema: { summary: 'Leases, newest first', querystring: listQuery, response: { 200: z.array(leaseListing) } } },
    (request) => listLeases(deps, request.query).then((leases) => [...leases]),
  );
  api.get(
    '/v1/leases/:id',
    {
      schema: {
        summary: 'A lease as it is, or as it is once it is ready, ended, or its machine gone',
        params: leaseParams,
        querystring: waitQuery,
        response: { 200: leaseView },
      },
    },
    (request, reply) => {
      const { wait, timeoutMs = longestWaitMs } = request.query;
      const { id } = request.params;
      if (wait === undefined) return viewOf(deps.client, id);
      return waits.wait(id, wait, Math.min(timeoutMs, longestWaitMs), leavingOf(reply));
    },
  );
  const answers = { response: { 200: leaseView }, params: leaseParams };
  api.post(
    '/v1/leases/:id/extend',
    { schema: { summary: 'Give a lease more time', body: extendBody, ...answers } },
    (request) => extendLease(deps, request.params.id, request.body),
  );
  api.post(
    '/v1/leases/:id/release',
    { schema: { summary: 'Give the machine back', body: optional(reasonBody), ...answers } },
    (request) => releaseLease(deps, request.params.id, request.body),
  );
  api.post(
    '/v1/leases/:id/cancel',
    { schema: { summary: 'Stop the tasks and give the machine back', body: optional(reasonBody), ...answers } },
    (request) => cancelLease(deps, request.params.id, request.body),
  );
  api.post(
    '/v1/leases/:id/ready',
    {
      schema: {
        summary: 'Say that the machine is ready (bundles with `ready: manual`)',
        body: optional(markReadyBody),
        ...answers,
      },
    },
    (request) => markReady(deps, request.params.id, request.body),
  );
};
