import { setTimeout as pause } from 'node:timers/promises';
import { type Connection, isGrpcServiceError } from '@temporalio/client';
import type { StateFolder } from '../config/state-folder.ts';
import { temporalConnection } from '../config/temporal-connection.ts';
import { prepareStateFolder } from '../dev/state-folder-life.ts';
import { adoptNamespace, missingSearchAttributes } from '../dev/temporal-prepare.ts';
import { connect } from '../dev/temporal-server.ts';
import { retentionDays } from '../dev/temporal-settings.ts';
import { DomainError } from '../domain/failure.ts';
import { deploymentTemporal } from './temporal.ts';

/** A server that starts, and a namespace that is new to it, take seconds. */
const withinMs = 60_000;
const againMs = 500;
const daySeconds = 86_400;
/** google.rpc.Code */
const [alreadyExists, notFound] = [6, 5];

export interface SetUp {
  readonly state: string;
  readonly installation: string;
  readonly temporal: { readonly address: string; readonly namespace: string };
  /** What we were not allowed to do in the namespace, and its operator may have done. */
  readonly notes: readonly string[];
}

/**
 * Prepares a deployment; repeated, it changes nothing. The state folder with its token and installation key; the namespace
 * with its retention, the search attributes and the mark of this installation.
 * @throws DomainError Forbidden when the namespace is another installation's; ProviderUnavailable when the server did not
 * do it within a minute
 */
export async function setUp(state: StateFolder): Promise<SetUp> {
  const temporal = deploymentTemporal();
  const { namespace, address } = temporal;
  const installation = await prepareStateFolder(state);
  const deadline = Date.now() + withinMs;
  const patiently = async <T>(what: string, act: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await act();
      } catch (cause) {
        if (cause instanceof DomainError) throw cause;
        if (Date.now() > deadline) {
          throw new DomainError(
            'ProviderUnavailable',
            `${what} failed for ${withinMs / 1000} s: ${(cause as Error).message}`,
            {
              hint: `Look at ${address} and at what TEMPORAL_* says.`,
              cause,
            },
          );
        }
        await pause(againMs);
      }
    }
  };
  const connection = await patiently(`Reaching the Temporal server ${address}`, () =>
    connect(temporalConnection(temporal)),
  );
  try {
    await patiently(`Making the namespace ${namespace}`, () => ensureNamespace(connection, namespace));
    await patiently(`Looking at ${namespace}`, () => missingSearchAttributes(connection, namespace));
    const notes: string[] = [];
    await adoptNamespace(connection, namespace, installation.id, (text) => notes.push(text));
    await patiently('Adding search attributes', async () => {
      const missing = await missingSearchAttributes(connection, namespace);
      if (missing.length > 0) throw new Error([`${namespace} lacks ${missing.join(', ')}`, ...notes].join('; '));
    });
    return { state: state.root, installation: installation.id, temporal: { address, namespace }, notes };
  } finally {
    await connection.close();
  }
}

async function ensureNamespace(connection: Connection, namespace: string): Promise<void> {
  const { workflowService } = connection;
  const isCode = (error: unknown, code: number): boolean => isGrpcServiceError(error) && error.code === (code as never);
  try {
    await workflowService.describeNamespace({ namespace });
  } catch (error) {
    if (!isCode(error, notFound)) throw error;
    const workflowExecutionRetentionPeriod = { seconds: (retentionDays * daySeconds) as never };
    await workflowService
      .registerNamespace({ namespace, workflowExecutionRetentionPeriod })
      .catch((failure: unknown) => {
        // Another set-up was faster.
        if (!isCode(failure, alreadyExists)) throw failure;
      });
  }
}
