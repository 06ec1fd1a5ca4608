import type { FastifyRequest } from 'fastify';
import { DomainError } from '../domain/failure.ts';
import type { ApiDeps } from './deps.ts';

/** Paths that need no token: whether the API lives is no secret. */
export const openPaths: readonly string[] = ['/v1/health'];

const loopback = /^(localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i;

/**
 * A web page from elsewhere must not run commands here, also not by a name that it lets point to this host (DNS
 * rebinding): `Host` has to be loopback with our port, or a name that the operator gave (`api.hosts`; a proxy or a
 * published port may have another port), `Origin` absent or ourselves.
 * @throws DomainError Forbidden
 */
export function refuseForeign(request: FastifyRequest, port: number | undefined, hosts: readonly string[]): void {
  const host = request.headers.host ?? '';
  const at = host.lastIndexOf(':');
  const hasPort = at > host.lastIndexOf(']');
  const name = (hasPort ? host.slice(0, at) : host).toLowerCase();
  const own = port ?? request.socket.localPort;
  const isNamed = hosts.includes(name);
  if (!isNamed && !(loopback.test(name) && (hasPort ? Number(host.slice(at + 1)) : 80) === own)) {
    throw new DomainError('Forbidden', `The Host header ${JSON.stringify(host.slice(0, 100))} is not this API's.`, {
      hint: `ask for http://127.0.0.1:${own}, or name that host under api.hosts of slipway.yaml.`,
    });
  }
  const { origin } = request.headers;
  // Behind a name may stand a proxy that speaks TLS.
  const ours = [`http://${host}`, ...(isNamed ? [`https://${host}`] : [])];
  if (origin !== undefined && !ours.includes(origin)) {
    throw new DomainError('Forbidden', `A page of ${origin.slice(0, 100)} may not ask this API.`);
  }
}

/** Who asks. @throws DomainError Unauthorized */
export async function callerOf(request: FastifyRequest, ownerOf: ApiDeps['ownerOf']): Promise<string> {
  const given = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  const owner = given === undefined ? undefined : await ownerOf(given);
  if (owner !== undefined) return owner;
  throw new DomainError(
    'Unauthorized',
    given === undefined ? 'No bearer token was sent.' : 'The token is not this stack’s.',
    {
      hint: 'send Authorization: Bearer with what the file `token` of the state folder holds, or with a token of your own (`tokens:` in slipway.yaml).',
    },
  );
}
