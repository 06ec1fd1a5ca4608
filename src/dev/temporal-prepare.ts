import type { Connection } from '@temporalio/client';
import { claimNamespace } from '../config/installation.ts';
import { searchAttributes } from '../contract/messages.ts';
import { DomainError } from '../domain/failure.ts';
import { retentionDays } from './temporal-settings.ts';

/** INDEXED_VALUE_TYPE_KEYWORD of temporal.api.enums.v1; its module is CommonJS and heavy. */
const keyword = 2;
const daySeconds = 86_400;

/** The search attributes that the namespace lacks. @throws DomainError InvalidRequest when one is there with another type */
export async function missingSearchAttributes(connection: Connection, namespace: string): Promise<readonly string[]> {
  const found = await connection.operatorService.listSearchAttributes({ namespace });
  const wrong = searchAttributes.filter((name) => ![undefined, keyword].includes(found.customAttributes[name]));
  if (wrong.length > 0) {
    throw new DomainError(
      'InvalidRequest',
      `The namespace ${namespace} has ${wrong.join(', ')} with another type than Keyword.`,
      {
        hint: `Remove it: temporal operator search-attribute remove --namespace ${namespace} --name ${wrong[0]}`,
      },
    );
  }
  return searchAttributes.filter((name) => found.customAttributes[name] === undefined);
}

/** Adds what is missing. Twice is harmless. */
export async function addSearchAttributes(connection: Connection, namespace: string): Promise<readonly string[]> {
  const missing = await missingSearchAttributes(connection, namespace);
  if (missing.length > 0) {
    await connection.operatorService.addSearchAttributes({
      namespace,
      searchAttributes: Object.fromEntries(missing.map((name) => [name, keyword])),
    });
  }
  return missing;
}

/** Closed leases answer for 30 days: the namespace keeps them that long. A longer retention is left as it is. */
export async function ensureRetention(connection: Connection, namespace: string): Promise<void> {
  const wanted = retentionDays * daySeconds;
  const found = await connection.workflowService.describeNamespace({ namespace });
  if (Number(found.config?.workflowExecutionRetentionTtl?.seconds ?? 0) >= wanted) return;
  await connection.workflowService.updateNamespace({
    namespace,
    config: { workflowExecutionRetentionTtl: { seconds: wanted as never } },
  });
}

/** Makes the namespace of our own server ready for slipway, and marks it as this installation's. */
export async function prepareNamespace(connection: Connection, namespace: string, installation: string): Promise<void> {
  await claimNamespace(connection, namespace, installation);
  await ensureRetention(connection, namespace);
  await addSearchAttributes(connection, namespace);
}

/**
 * The same in a namespace of somebody's: adds what it may, and says what its operator must.
 * @throws DomainError Forbidden when another installation owns it
 */
export async function adoptNamespace(
  connection: Connection,
  namespace: string,
  installation: string,
  note: (text: string) => void,
): Promise<void> {
  const may = async (what: string, act: () => Promise<unknown>) => {
    try {
      await act();
    } catch (error) {
      if (error instanceof DomainError) throw error;
      note(`${what}: ${(error as Error).message}`);
    }
  };
  await may(`The namespace ${namespace} could not be marked as this installation's`, () =>
    claimNamespace(connection, namespace, installation),
  );
  await may(`The retention of ${namespace} could not be raised to ${retentionDays} days`, () =>
    ensureRetention(connection, namespace),
  );
  await may(`Search attributes could not be added to ${namespace}`, () => addSearchAttributes(connection, namespace));
}
