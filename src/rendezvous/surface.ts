import type { Server, Socket } from 'node:net';
import fastify, { LogController } from 'fastify';
import type { FastifyBaseLogger, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { factsLimitBytes, guestWords, readFacts, type Verdict } from '../domain/check-in.ts';
import type { CheckInIdentity, GuestPost } from '../domain/guest-post.ts';
import { providerKey } from '../domain/ids.ts';
import { identityNamed, isSecretOf } from './identity.ts';
import { limitOf } from './limits.ts';
import { outcomes, outcomeOfNode, statusCodes, suspicious, type Fetched, type Outcome } from './outcomes.ts';
import { rendezvousTls } from './tls.ts';

export interface SurfaceDeps {
  readonly installationKey: Uint8Array;
  /** Takes it to the machine, or says why not. */
  readonly post: (who: CheckInIdentity, post: GuestPost) => Promise<Verdict>;
  /** What the guest fetches, while it is there. */
  readonly lastStage: (who: CheckInIdentity, source: string) => Promise<Fetched>;
  readonly logger: Logger;
}

export interface Surface {
  readonly app: FastifyInstance;
  readonly counts: ReadonlyMap<Outcome, number>;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Of the rendezvous: which machine has proven itself. */
    guest: CheckInIdentity | undefined;
  }
}

/** Of one machine: its script makes three or four requests in all. */
const guestRate = { callsPerSecond: 1, burst: 20 };
/** Of those who could not prove to be anybody, by address: many guests may share one. */
const strangerRate = { callsPerSecond: 1, burst: 60 };
/** More at once are guests that wait a moment. */
const connectionsMax = 512;
/** Of one address: nobody shuts out all others. Guests behind one share these, each for a moment. */
const connectionsOfOneMax = 128;
/** So often a source that is throttled is worth a line. */
const throttledLineRate = { callsPerSecond: 1 / 60, burst: 1 };

/** Where guests call home, over HTTPS with the pinned key; not listening yet. */
export function createSurface(deps: SurfaceDeps): Surface {
  const { key, cert } = rendezvousTls(deps.installationKey);
  const loggerInstance: FastifyBaseLogger = deps.logger;
  const app = fastify({
    // What is slow, large or silent is cut off: nobody holds a place for long.
    https: {
      key,
      cert,
      minVersion: 'TLSv1.2',
      maxHeaderSize: 4_096,
      handshakeTimeout: 10_000,
      connectionsCheckingInterval: 1_000,
    },
    bodyLimit: factsLimitBytes,
    requestTimeout: 20_000,
    connectionTimeout: 30_000,
    keepAliveTimeout: 5_000,
    forceCloseConnections: true,
    routerOptions: { maxParamLength: 300 },
    loggerInstance,
    logController: new LogController({ disableRequestLogging: true }),
    clientErrorHandler: (error, socket) => cutOff(error, socket),
  });
  app.server.maxConnections = connectionsMax;
  app.server.headersTimeout = 10_000;
  const counts = new Map<Outcome, number>(outcomes.map((outcome) => [outcome, 0]));
  const guests = limitOf(guestRate);
  const strangers = limitOf(strangerRate);
  const throttledLines = limitOf(throttledLineRate);

  const count = (outcome: Outcome, source: string, machine: string): void => {
    counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    const about = { machine, source, outcome };
    if (outcome === 'taken' || outcome === 'duplicate') deps.logger.debug(about, 'a guest has checked in');
    else if (outcome === 'failed') deps.logger.error(about, 'a check-in could not be taken to its machine');
    else if (outcome === 'early' || outcome === 'late') deps.logger.info(about, `a check-in came ${outcome}`);
    else if (suspicious.has(outcome)) deps.logger.warn({ security: true, ...about }, 'a check-in was refused');
    else if (outcome !== 'throttled' || throttledLines.take(source)) deps.logger.warn(about, 'a check-in was refused');
  };
  const refusedUnheard = (outcome: Outcome, source: string): void => count(outcome, source, 'unproven');
  limitConnections(app.server, (source) => refusedUnheard('throttled', source));
  /** What came is no request, or not the whole of one in time. */
  const cutOff = ({ code = '' }: NodeJS.ErrnoException, socket: Socket): void => {
    const { remoteAddress = '', writable } = socket;
    const outcome = outcomeOfNode(code);
    if (outcome) refusedUnheard(strangers.take(remoteAddress) ? outcome : 'throttled', remoteAddress);
    if (outcome && writable)
      socket.write(`HTTP/1.1 ${statusCodes[outcome]} \r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
    socket.destroySoon();
  };

  const answer = async (request: FastifyRequest, reply: FastifyReply, outcome: Outcome): Promise<FastifyReply> => {
    count(outcome, request.ip, request.guest?.machineId ?? 'unproven');
    // Who is refused keeps no connection that another could have.
    if (statusCodes[outcome] !== 200) reply.header('connection', 'close');
    return reply.status(statusCodes[outcome]).type('text/plain').send(`${outcome}\n`);
  };

  app.decorateRequest('guest', undefined);
  // Before a byte of a body is read.
  app.addHook('onRequest', async (request, reply) => {
    const who = identityNamed((request.params as { id?: string }).id ?? '');
    const [scheme = '', secret = ''] = (request.headers.authorization ?? '').split(' ');
    if (!who || scheme.toLowerCase() !== 'bearer' || !isSecretOf(deps.installationKey, who, secret))
      return answer(request, reply, strangers.take(request.ip) ? 'forged' : 'throttled');
    request.guest = who;
    if (!guests.take(`${who.machineId} ${who.birth}`)) return answer(request, reply, 'throttled');
    return undefined;
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => done(null, body));
  app.setErrorHandler((error, request, reply) => {
    // It hung up, or was cut off and counted.
    if (request.raw.readableAborted) return reply.hijack();
    const { statusCode } = error as { statusCode?: number };
    if (statusCode === 413) return answer(request, reply, 'oversize');
    if (statusCode !== undefined && statusCode < 500) return answer(request, reply, 'unreadable');
    deps.logger.error({ error }, 'the rendezvous failed');
    return answer(request, reply, 'failed');
  });

  const take = async (
    request: FastifyRequest,
    reply: FastifyReply,
    post: Pick<GuestPost, 'facts' | 'hostKeys' | 'result' | 'message'> | undefined,
  ): Promise<FastifyReply> => {
    const who = request.guest;
    if (!who || !post) return answer(request, reply, 'unreadable');
    const { machineId, birth, generation } = who;
    const from = { key: providerKey(machineId, birth), generation, source: request.ip };
    return answer(request, reply, await deps.post(who, { ...from, ...post }));
  };
  const bodyOf = ({ body }: FastifyRequest): string => (typeof body === 'string' ? body : '');

  const at = '/rendezvous/v1/machines/:id';
  app.post(`${at}/facts`, (request, reply) => take(request, reply, readFacts(bodyOf(request))));
  app.post(`${at}/ready`, (request, reply) => {
    const { result = '' } = request.query as { result?: unknown };
    if (typeof result !== 'string' || !/^\d{1,3}$/.test(result)) return answer(request, reply, 'unreadable');
    const message = guestWords(bodyOf(request));
    return take(request, reply, { result: Number(result), ...(message === '' ? {} : { message }) });
  });
  app.get(`${at}/last-stage`, async (request, reply) => {
    if (!request.guest) return answer(request, reply, 'unreadable');
    const fetched = await deps.lastStage(request.guest, request.ip);
    if ('refused' in fetched) return answer(request, reply, fetched.refused);
    count('taken', request.ip, request.guest.machineId);
    return reply.type('text/plain').send(fetched.text);
  });
  return { app, counts };
}

/** Cuts off an address's connections beyond its share, before their handshake, and counts what the server itself does. */
function limitConnections(server: Server, refused: (source: string) => void): void {
  server.on('drop', (dropped) => refused(dropped?.remoteAddress ?? ''));
  const open = new Map<string, number>();
  server.on('connection', (socket) => {
    const source = socket.remoteAddress ?? '';
    const others = open.get(source) ?? 0;
    if (others >= connectionsOfOneMax) {
      refused(source);
      return void socket.destroy();
    }
    open.set(source, others + 1);
    socket.once('close', () => {
      const left = (open.get(source) ?? 1) - 1;
      if (left > 0) open.set(source, left);
      else open.delete(source);
    });
  });
}
