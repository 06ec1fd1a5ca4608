import { DomainError } from '../domain/failure.ts';
import type { CreateSpec, Identity } from '../providers/provider.ts';
import type { MachineRef } from './activities.ts';
import { isStanding, keyOf, recipeOf, type Deps } from './deps.ts';

/** The keys of the machine's generation: derived, so that any worker gives the same ones. */
export const identityOf = (deps: Deps, machine: MachineRef): Identity => ({
  hostKey: keyOf(deps, machine, 'host-key').privateKey,
  authorizedKeys: [keyOf(deps, machine, 'client-key').publicKey],
});

/** What a provider is asked to make, or to make anew. @throws DomainError InvalidRequest for a variant that is not there */
export async function specOf(deps: Deps, machine: MachineRef, digest: string, variant: number): Promise<CreateSpec> {
  const { variants, resetCommands = [], resetLeaves = [] } = await recipeOf(deps, digest);
  const wanted = variants[variant];
  if (!wanted) throw new DomainError('InvalidRequest', `Recipe ${digest} has no variant ${variant}.`);
  const hostname = machine.machineId.replaceAll(/[^a-z0-9-]/g, '-');
  const reset = isStanding(deps, machine) ? { reset: { commands: resetCommands, leaves: resetLeaves } } : {};
  return { hostname, variant: wanted.spec, ...identityOf(deps, machine), ...reset };
}
