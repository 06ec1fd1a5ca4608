import { Client, Connection } from '@temporalio/client';
import { NativeConnection, type NativeConnectionOptions } from '@temporalio/worker';
import type { StackTemporal } from '../config/stack-file.ts';
import { temporalConnection } from '../config/temporal-connection.ts';
import { searchAttributes } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';

/** `INDEXED_VALUE_TYPE_KEYWORD` of temporal.api.enums.v1; the generated enum cannot be imported from an ES module. */
const keywordType = 2;

export interface Connections {
  readonly native: NativeConnection;
  readonly client: Client;
  close(): Promise<void>;
}

/** To the stack's own server, or to the one that `--temporal` named in the environment or a profile. */
export async function connectTemporal(temporal: StackTemporal): Promise<Connections> {
  const options = temporalConnection(temporal);
  // The same options; the two packages type the rarer forms of an API key differently.
  const native = await NativeConnection.connect(options as NativeConnectionOptions);
  const connection = await Connection.connect(options);
  return {
    native,
    client: new Client({ connection, namespace: temporal.namespace }),
    async close() {
      await connection.close();
      await native.close();
    },
  };
}

/**
 * An upsert of an unknown search attribute would retry its workflow task for ever.
 * @throws DomainError InvalidRequest that names the missing ones
 */
export async function refuseMissingAttributes(connection: Connection, namespace: string): Promise<void> {
  const { customAttributes } = await connection.operatorService.listSearchAttributes({ namespace });
  const missing = searchAttributes.filter((name) => Number(customAttributes?.[name]) !== keywordType);
  if (missing.length === 0) return;
  throw new DomainError(
    'InvalidRequest',
    `Namespace ${namespace} lacks the search attributes ${missing.join(', ')} (Keyword).`,
    {
      hint: 'temporal operator search-attribute create --name NAME --type Keyword',
    },
  );
}
