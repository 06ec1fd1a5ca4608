import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { DomainError } from '../../domain/failure.ts';
import { composedUserData } from '../../domain/user-data.ts';
import { replaceFile } from '../../host/atomic-file.ts';
import type { CreateSpec } from '../provider.ts';

/** What cloud-init's NoCloud reads: https://docs.cloud-init.io/en/latest/reference/datasources/nocloud.html */
export async function writeDocument(
  folder: string,
  instanceId: string,
  hostname: string,
  document: string,
): Promise<void> {
  const part = `${folder}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(part, { mode: 0o700 });
  const files = {
    'meta-data': `${JSON.stringify({ 'instance-id': instanceId, 'local-hostname': hostname })}\n`,
    'user-data': document,
    // A missing one is waited for by some versions.
    'vendor-data': '',
  };
  for (const [name, text] of Object.entries(files)) await writeFile(join(part, name), text, { mode: 0o600 });
  await rm(folder, { recursive: true, force: true });
  await rename(part, folder);
}

export const writeSeed = (folder: string, instanceId: string, spec: CreateSpec, user: string): Promise<void> =>
  writeDocument(folder, instanceId, spec.hostname, documentOf(spec, user));

/** Seen by the guest when it is switched on next: QEMU reads the folder as it starts. */
export const replaceUserData = (folder: string, text: string): Promise<void> =>
  replaceFile(join(folder, 'user-data'), text);

export const readUserData = (folder: string): Promise<string> => readFile(join(folder, 'user-data'), 'utf8');

/** OpenSSH public key of the identity's host key. */
export function publicKeyOf(hostKey: string): string {
  const parsed = ssh2.utils.parseKey(hostKey);
  if (parsed instanceof Error)
    throw new DomainError('InvalidRequest', `The host key of a machine is of no use: ${parsed.message}.`);
  return `${parsed.type} ${parsed.getPublicSSH().toString('base64')}`;
}

/** The document that came with it; else one that gives the guest its identity and nothing more. */
function documentOf({ userData, hostname, hostKey, authorizedKeys }: CreateSpec, user: string): string {
  if (userData !== undefined) return userData;
  const own = { privateKey: hostKey, publicKey: publicKeyOf(hostKey) };
  return composedUserData({}, { hostname, loginUser: user, authorizedKeys, hostKey: own }, Infinity).text;
}
