import { randomUUID } from 'node:crypto';
import swagger from '@fastify/swagger';
import fastify, { LogController } from 'fastify';
import type { FastifyBaseLogger, FastifyInstance, FastifyRequest } from 'fastify';
import { jsonSchemaTransform, validatorCompiler } from 'fastify-type-provider-zod';
import type { ZodTypeProvider } from 'fastify-type-provider-zod';
import { problemType } from '../contract/http.ts';
import { requestLimitBytes } from '../contract/lease.ts';
import { DomainError } from '../domain/failure.ts';
import { discard } from './body.ts';
import type { ApiDeps } from './deps.ts';
import { callerOf, openPaths, refuseForeign } from './guard.ts';
import { createLeaseWaits } from './lease-waits.ts';
import { refusalOf } from './problem.ts';
import { blobRoutes } from './routes/blobs.ts';
import { leaseRoutes } from './routes/leases.ts';
import { imageRoutes } from './routes/images.ts';
import { operatorRoutes } from './routes/operator.ts';
import { outputRoutes } from './routes/output.ts';
import { poolRoutes } from './routes/pools.ts';
import { quotaRoutes } from './routes/quotas.ts';
import { taskRoutes } from './routes/tasks.ts';
import { transferRoutes } from './routes/transfers.ts';
import { upkeepRoutes } from './routes/upkeep.ts';

/** A refused body is still read to its end, up to this, so that its sender gets to read why. */
const discardLimitBytes = 1024 ** 3;

export type Api = FastifyInstance;
/** One part of the API. */
export type Routes = (api: ReturnType<typeof typed>, deps: ApiDeps, waits: ReturnType<typeof createLeaseWaits>) => void;

const typed = (api: FastifyInstance) => api.withTypeProvider<ZodTypeProvider>();

/** The HTTP API, not listening yet. */
export async function createApi(deps: ApiDeps): Promise<Api> {
  const loggerInstance: FastifyBaseLogger = deps.logger;
  const api = fastify({
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    bodyLimit: requestLimitBytes,
    routerOptions: { maxParamLength: 300 },
    forceCloseConnections: true,
    // Long polls and follows have no end of their own.
    requestTimeout: 0,
  });
  api.setValidatorCompiler(validatorCompiler);
  // Answers are ours: their schemas describe them, and the tests hold them to it.
  api.setSerializerCompiler(() => (data) => JSON.stringify(data));
  guard(api, deps);
  refuse(api);
  // Blobs and secrets are streams; anything else but these and JSON is refused.
  api.removeContentTypeParser('text/plain');
  api.addContentTypeParser('application/octet-stream', (_request, payload, done) => done(null, payload));

  await api.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'slipway', version: '1', description: 'Machines on lease, proven ready; jobs with live output.' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: jsonSchemaTransform,
  });
  const waits = createLeaseWaits(deps);
  await api.register((scope, _options, done) => {
    for (const routes of [
      leaseRoutes,
      taskRoutes,
      outputRoutes,
      blobRoutes,
      transferRoutes,
      imageRoutes,
      operatorRoutes,
      upkeepRoutes,
      poolRoutes,
      quotaRoutes,
    ])
      routes(typed(scope), deps, waits);
    done();
  });
  api.get('/v1/openapi.json', { schema: { hide: true } }, () => api.swagger());
  api.get('/v1/health', { schema: { hide: true } }, () => ({ ok: true }));
  return api;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Whose token it came with; empty where none is asked for. */
    owner: string;
  }
}

function guard(api: FastifyInstance, deps: ApiDeps): void {
  api.decorateRequest('owner', '');
  api.addHook('onRequest', async (request, reply) => {
    reply.header('x-request-id', request.id);
    reply.header('cache-control', 'no-store');
    reply.header('x-content-type-options', 'nosniff');
    refuseForeign(request, deps.port, (await deps.hosts?.()) ?? []);
    if (!openPaths.includes(request.routeOptions.url ?? '')) request.owner = await callerOf(request, deps.ownerOf);
  });
  api.addHook('onResponse', async (request, reply) => {
    // Who waits looks often: what went well and changed nothing is for debugging.
    const level = request.method === 'GET' && reply.statusCode < 400 ? 'debug' : 'info';
    request.log[level](
      {
        method: request.method,
        route: request.routeOptions.url ?? 'none',
        params: request.params,
        ...(request.owner === '' ? {} : { owner: request.owner }),
        status: reply.statusCode,
        ms: Math.round(reply.elapsedTime),
      },
      'answered',
    );
  });
}

function refuse(api: FastifyInstance): void {
  api.setErrorHandler(async (error, request, reply) => {
    const { problem, bug } = refusalOf(error, request.id);
    if (bug) request.log.error({ err: error }, 'a request failed');
    await discard(request.raw, discardLimitBytes);
    if (problem.retryAfterMs !== undefined) reply.header('retry-after', Math.ceil(problem.retryAfterMs / 1000));
    if (problem.status === 401) reply.header('www-authenticate', 'Bearer');
    return reply.status(problem.status).type(problemType).serializer(JSON.stringify).send(problem);
  });
  api.setNotFoundHandler((request: FastifyRequest) => {
    throw new DomainError('NotFound', `There is no ${request.method} ${request.url.split('?')[0]?.slice(0, 200)}.`, {
      hint: 'GET /v1/openapi.json names all there is.',
    });
  });
}
