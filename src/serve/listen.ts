import { isIPv6 } from 'node:net';
import { DomainError } from '../domain/failure.ts';

export interface ListenAddress {
  readonly host: string;
  /** Absent: that of `slipway.yaml`, else 4800. */
  readonly port?: number;
}

const loopback = '127.0.0.1';
const hostAndPort = /^(?:(?:\[([^\]]+)\]|([^:[\]]+)):)?(\d{1,5})$/;

/**
 * Where the API is to listen: `HOST:PORT`, an IPv6 address in brackets, or a port of loopback.
 * @throws DomainError InvalidRequest
 */
export function listenAddress(text: string | undefined): ListenAddress {
  if (text === undefined || text === '') return { host: loopback };
  const [, bracketed, name, port] = hostAndPort.exec(text) ?? [];
  const isWrong = port === undefined || Number(port) > 65_535 || (bracketed !== undefined && !isIPv6(bracketed));
  if (!isWrong) return { host: bracketed ?? name ?? loopback, port: Number(port) };
  throw new DomainError('InvalidRequest', `${JSON.stringify(text)} is no address to listen at.`, {
    hint: 'HOST:PORT, for example 0.0.0.0:4800 or [::]:4800.',
  });
}

/** Whether only processes of this computer (or this container) can reach it. */
export const isLoopback = (host: string): boolean => host === 'localhost' || host === '::1' || host.startsWith('127.');
