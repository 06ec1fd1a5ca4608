import type { WorkflowService } from '@temporalio/client';
import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { DomainError } from '../domain/failure.ts';
import { createOnce } from './create-once.ts';
import type { StateFolder } from './state-folder.ts';

/** The root of all derived keys of one deployment, and the public name of that deployment. */
export interface Installation {
  /** 32 random bytes. Secret: never logged, never in argv, never in Temporal. */
  readonly key: Uint8Array;
  /** 16 hex digits, derived one way: the owner tag at every provider, and the fingerprint kept in Temporal. */
  readonly id: string;
}

const keyBytes = 32;
const dataKey = 'slipway-installation';

export const installationId = (key: Uint8Array): string =>
  createHash('sha256').update('slipway installation id v1\0').update(key).digest('hex').slice(0, 16);

/**
 * Reads the secret that `slipway dev` or `slipway setup` made. Nothing else ever makes one: a second secret would orphan
 * every machine of the first.
 * @throws DomainError NotFound when there is none, InvalidRequest when the file is damaged
 */
export async function readInstallation(state: StateFolder): Promise<Installation> {
  let bytes: Buffer;
  try {
    bytes = await readFile(state.installationKey);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw cause;
    throw new DomainError('NotFound', `The state folder ${state.root} holds no installation key.`, {
      hint: 'Start a stack with `slipway dev`, prepare a deployment with `slipway setup`, or give the right folder with --state.',
      cause,
    });
  }
  const text = bytes.toString('utf8').trim();
  if (!/^[0-9a-f]{64}$/.test(text)) {
    throw new DomainError('InvalidRequest', `${state.installationKey} is damaged: not ${keyBytes * 2} hex digits.`, {
      hint: 'Restore it from a backup: machines made with it can be reached with no other.',
    });
  }
  const key = Uint8Array.from(Buffer.from(text, 'hex'));
  return { key, id: installationId(key) };
}

/** Makes the secret (0600) unless there is one, and reads it. Only `dev` and `setup` call this. */
export async function createInstallation(state: StateFolder): Promise<Installation> {
  await createOnce(state.installationKey, () => `${randomBytes(keyBytes).toString('hex')}\n`);
  return readInstallation(state);
}

/** Anything with Temporal's workflow service: a client's `Connection` or a worker's `NativeConnection`. */
export interface TemporalConnection {
  readonly workflowService: WorkflowService;
}

const storedIn = async (connection: TemporalConnection, namespace: string): Promise<string | undefined> => {
  const found = await connection.workflowService.describeNamespace({ namespace });
  return found.namespaceInfo?.data?.[dataKey] ?? undefined;
};

function refuse(namespace: string, stored: string, id: string): never {
  throw new DomainError(
    'Forbidden',
    `The Temporal namespace ${namespace} belongs to installation ${stored}, and this state folder is installation ${id}.`,
    { hint: 'Use the state folder with the installation key of that namespace, or another namespace.' },
  );
}

/**
 * Looks whether the namespace is ours. One that carries no fingerprint yet passes.
 * @throws DomainError Forbidden when another installation's fingerprint is stored: a worker must not start then
 */
export async function verifyInstallation(
  connection: TemporalConnection,
  namespace: string,
  id: string,
): Promise<'ours' | 'unclaimed'> {
  const stored = await storedIn(connection, namespace);
  if (stored === undefined) return 'unclaimed';
  return stored === id ? 'ours' : refuse(namespace, stored, id);
}

/** As `verifyInstallation`, and writes our fingerprint into the namespace's data when it carries none. */
export async function claimNamespace(connection: TemporalConnection, namespace: string, id: string): Promise<void> {
  if ((await verifyInstallation(connection, namespace, id)) === 'ours') return;
  await connection.workflowService.updateNamespace({ namespace, updateInfo: { data: { [dataKey]: id } } });
  // Two installations may have written at once: whoever reads another's here gives way.
  await verifyInstallation(connection, namespace, id);
}
