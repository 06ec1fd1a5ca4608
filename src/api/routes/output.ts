import { Readable } from 'node:stream';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { framesType } from '../../contract/frames.ts';
import { evidenceParams, followQuery, stepParams, stepQuery, taskParams } from '../../contract/http.ts';
import { DomainError } from '../../domain/failure.ts';
import { evidenceKey, stepKey, taskKey } from '../../domain/ids.ts';
import { streams } from '../../domain/task.ts';
import type { Stream } from '../../domain/task.ts';
import type { ApiDeps } from '../deps.ts';
import { followTask } from '../follow.ts';
import { frames, resumedFrom, sendFollow, serverSentEvents } from '../follow-body.ts';
import { leavingOf } from '../leaving.ts';
import { refusalOf } from '../problem.ts';
import { rangeOf } from '../range.ts';
import type { Routes } from '../server.ts';
import { taskStatus } from '../tasks.ts';

const pieceBytes = 262_144;
const defaultBeatMs = 10_000;

export const outputRoutes: Routes = (api, deps, waits) => {
  for (const stream of streams) {
    api.get(
      `/v1/leases/:id/tasks/:task/${stream}`,
      {
        schema: {
          summary: `What is kept of ${stream}; answers a Range`,
          params: taskParams,
          produces: ['application/octet-stream'],
        },
      },
      async (request, reply) => {
        const { id, task } = request.params;
        return sendOutput(deps, taskKey(id, task), stream, request, reply, () => taskStatus(deps, id, task));
      },
    );
    api.get(
      `/v1/machines/:id/steps/:step/${stream}`,
      {
        schema: {
          summary: `What a step of customizing wrote to ${stream}`,
          params: stepParams,
          querystring: stepQuery,
          produces: ['application/octet-stream'],
        },
      },
      async (request, reply) => {
        const { id, step } = request.params;
        const missing = async (): Promise<never> => {
          throw new DomainError('NotFound', `Step ${step} of machine ${id} wrote nothing.`);
        };
        return sendOutput(deps, stepKey(id, request.query.generation ?? 1, step), stream, request, reply, missing);
      },
    );
  }
  api.get(
    '/v1/machines/:id/evidence/:what',
    {
      schema: {
        summary: 'What a machine that failed had to say; answers a Range',
        params: evidenceParams,
        querystring: stepQuery,
        produces: ['application/octet-stream'],
      },
    },
    async (request, reply) => {
      const { id, what } = request.params;
      const missing = async (): Promise<never> => {
        throw new DomainError('NotFound', `Nothing is kept of ${what} of machine ${id}.`);
      };
      return sendOutput(deps, evidenceKey(id, request.query.generation ?? 1, what), 'stdout', request, reply, missing);
    },
  );
  api.get(
    '/v1/leases/:id/tasks/:task/follow',
    {
      schema: {
        summary: 'Both streams live, from offsets, then the result',
        description:
          'Frames: stream u8 (1 stdout, 2 stderr, 0 end, 3 problem), offset u64 BE, length u32 BE, bytes. With `Accept: text/event-stream` server-sent events: `stdout` and `stderr` with `{"offset", "base64"}` and both offsets as `id`, then `end` with the task result or `problem`. `Last-Event-ID` goes on there, before `out` and `err`; after an end it answers 204. Comments (`: alive`) every 10 s of silence.',
        params: taskParams,
        querystring: followQuery,
        produces: [framesType, 'text/event-stream'],
      },
    },
    async (request, reply) => {
      const { id, task } = request.params;
      const events = (request.headers.accept ?? '').includes('text/event-stream');
      const format = events ? serverSentEvents : frames(framesType);
      const resumed = events ? resumedFrom(request.headers['last-event-id']?.toString()) : undefined;
      // No content: the one answer after which a browser does not ask again.
      if (resumed === 'over') return reply.status(204).send();
      const from = resumed ?? { stdout: request.query.out ?? 0, stderr: request.query.err ?? 0 };
      const leaving = leavingOf(reply);
      const followed = await followTask(deps, waits, { leaseId: id, taskId: task }, from, leaving);
      const refuse = (error: unknown) => {
        const { problem, bug } = refusalOf(error, request.id);
        if (bug) request.log.error({ err: error }, 'a follow failed');
        return problem;
      };
      reply.type(format.contentType).header('x-accel-buffering', 'no');
      if (request.method === 'HEAD') return reply.send();
      // Past Fastify, which does not say when a piece of a stream is sent.
      reply.hijack();
      for (const [name, value] of Object.entries(reply.getHeaders()))
        if (value !== undefined) reply.raw.setHeader(name, value);
      void sendFollow(reply.raw, followed, format, from, { beatMs: deps.beatMs ?? defaultBeatMs, refuse });
      return reply;
    },
  );
};

async function sendOutput(
  deps: ApiDeps,
  key: string,
  stream: Stream,
  request: FastifyRequest,
  reply: FastifyReply,
  refuseUnknown: () => Promise<unknown>,
): Promise<FastifyReply> {
  const stat = await deps.outputs.stat(key);
  // Nothing was written yet: then it must at least be known.
  if (stat === undefined) await refuseUnknown();
  const size = stat?.[stream].keptBytes ?? 0;
  reply.type('application/octet-stream').header('accept-ranges', 'bytes');
  if (stat?.end) reply.header('etag', `"${stat.end[stream].sha256}"`);
  const range = rangeOf(request.headers.range, size);
  if (range === 'unsatisfiable') return reply.status(416).header('content-range', `bytes */${size}`).send();
  const { start, end } = range ?? { start: 0, end: size };
  if (range) reply.status(206).header('content-range', `bytes ${start}-${end - 1}/${size}`);
  reply.header('content-length', end - start);
  // With nothing at all Fastify would say that the length is 0.
  if (request.method === 'HEAD') return reply.send(Readable.from([]));
  return reply.send(Readable.from(pieces(deps, key, stream, start, end), { objectMode: false }));
}

async function* pieces(
  deps: ApiDeps,
  key: string,
  stream: Stream,
  start: number,
  end: number,
): AsyncGenerator<Uint8Array> {
  for (let at = start; at < end;) {
    const bytes = await deps.outputs.read(key, stream, at, Math.min(end, at + pieceBytes));
    if (bytes.length === 0) return;
    at += bytes.length;
    yield bytes;
  }
}
