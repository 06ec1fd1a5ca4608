import { DomainError } from '../domain/failure.ts';
import type { LeaseRequest } from '../domain/lease.ts';
import { isAllowed } from '../domain/notify.ts';
import { sourceOfSecret } from './secrets.ts';
import type { Settings } from './settings.ts';

/**
 * Whom a lease wants told must be one who can be: the secret is there, and the host may be called.
 * @throws DomainError InvalidRequest
 */
export function admitNotify(settings: Settings, { leaseId, notify }: LeaseRequest): void {
  if (!notify) return;
  const refuse = (message: string, hint?: string): never => {
    throw new DomainError('InvalidRequest', `Lease ${leaseId}: ${message}`, hint === undefined ? {} : { hint });
  };
  try {
    sourceOfSecret(settings, notify.secret);
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    refuse(`notify.secret: ${error.message}`, error.hint);
  }
  const url = new URL(notify.url);
  if (isAllowed(url, settings.notify?.allow)) return;
  refuse(
    `notify.url: ${url.host} is not among the hosts that may be called.`,
    `The operator names them under \`notify: {allow: [host]}\` of ${settings.file}.`,
  );
}
