import type { FastifyReply } from 'fastify';

/** Aborts when the caller has gone, or has its answer. */
export function leavingOf(reply: FastifyReply): AbortSignal {
  const leaving = new AbortController();
  reply.raw.once('close', () => leaving.abort());
  return leaving.signal;
}
