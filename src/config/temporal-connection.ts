import type { ConnectionOptions } from '@temporalio/client';
import { loadClientConnectConfig } from '@temporalio/envconfig';
import { DomainError } from '../domain/failure.ts';
import type { StackTemporal } from './stack-file.ts';

/** What a client's `Connection.connect` and a worker's `NativeConnection.connect` both take. May hold an API key: never log it. */
export type TemporalConnectOptions = Pick<ConnectionOptions, 'address' | 'tls' | 'apiKey' | 'metadata'> & {
  readonly address: string;
};

export interface ForeignTemporal {
  readonly options: TemporalConnectOptions;
  readonly namespace: string;
}

const loaded = (profile: string) => loadClientConnectConfig(profile === '' ? {} : { profile });

/**
 * The server that `TEMPORAL_ADDRESS` or a profile of Temporal's own configuration names (docs.temporal.io/develop/environment-configuration).
 * @param profile its name; the empty text for the default one
 * @throws DomainError InvalidRequest when neither names a server
 */
export function foreignTemporal(profile: string): ForeignTemporal {
  let config: ReturnType<typeof loaded>;
  try {
    config = loaded(profile);
  } catch (cause) {
    throw new DomainError('InvalidRequest', `Temporal's configuration could not be read: ${(cause as Error).message}`, {
      hint: 'See `temporal config list`.',
      cause,
    });
  }
  const { address, tls, apiKey, metadata } = config.connectionOptions;
  // A variable that is set to nothing names nothing.
  if (address === undefined || address === '') {
    throw new DomainError('InvalidRequest', 'TEMPORAL_ADDRESS or a profile must name the Temporal server.', {
      hint: 'For example TEMPORAL_ADDRESS=127.0.0.1:7233, or TEMPORAL_PROFILE; see `temporal config list`.',
    });
  }
  const options = { address, tls, apiKey, metadata };
  return {
    options: Object.fromEntries(
      Object.entries(options).filter(([, value]) => value !== undefined),
    ) as unknown as TemporalConnectOptions,
    namespace: config.namespace ?? 'default',
  };
}

/** How a process of the stack reaches its Temporal server, from what `stack.json` says. */
export const temporalConnection = (temporal: StackTemporal): TemporalConnectOptions =>
  temporal.profile === undefined
    ? { address: temporal.address }
    : { ...foreignTemporal(temporal.profile).options, address: temporal.address };
