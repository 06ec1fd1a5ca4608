import { parse } from 'yaml';
import { cloudConfigText, type CloudConfig } from '../domain/cloud-config.ts';
import { DomainError } from '../domain/failure.ts';
import { isMap } from '../domain/is-map.ts';
import { withoutSecrets, withSecrets } from '../domain/shown-user-data.ts';
import type { ApiDeps } from './deps.ts';
import { ableMachine } from './machines.ts';

/** The document as its provider has it, with the way to change it. */
async function documentOf(deps: ApiDeps, machineId: string, signal: AbortSignal) {
  const { provider, ref, within } = await ableMachine(deps, machineId, 'userData', signal);
  const { userData } = provider;
  const config: unknown = parse(await userData.read(ref, within));
  if (!isMap(config)) throw new DomainError('Internal', `The user-data of machine ${machineId} is no cloud-config.`);
  return { config, update: (text: string) => userData.update(ref, text, within) };
}

/** Its secrets are hidden. @throws DomainError NotFound, Gone, InvalidRequest (its provider cannot) */
export async function readUserData(deps: ApiDeps, machineId: string, signal: AbortSignal): Promise<CloudConfig> {
  return withoutSecrets((await documentOf(deps, machineId, signal)).config);
}

/**
 * In place of the document: hidden secrets stay what they are. The instance stays the same, so that at its next boot
 * cloud-init does again only what it does at every boot; a reload composes anew.
 * @throws DomainError as `readUserData`; InvalidRequest naming what cannot be so
 */
export async function changeUserData(
  deps: ApiDeps,
  machineId: string,
  edited: CloudConfig,
  signal: AbortSignal,
): Promise<CloudConfig> {
  const { config: current, update } = await documentOf(deps, machineId, signal);
  const { config, mistakes } = withSecrets(edited, current);
  if (mistakes.length > 0)
    throw new DomainError('InvalidRequest', `The user-data of machine ${machineId}: ${mistakes.join('; ')}.`);
  await update(cloudConfigText(config));
  return withoutSecrets(config);
}
