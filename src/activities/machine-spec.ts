import type { Recipe } from '../domain/bundle.ts';
import { DomainError } from '../domain/failure.ts';
import { composedUserData, type Composed } from '../domain/user-data.ts';
import type { CreateSpec, Identity } from '../providers/provider.ts';
import type { MachineRef } from './activities.ts';
import { isStanding, keyOf, providerOf, recipeOf, type Deps } from './deps.ts';

/** The keys of the machine's generation: derived, so that any worker gives the same ones. */
export const identityOf = (deps: Deps, machine: MachineRef): Identity => ({
  hostKey: keyOf(deps, machine, 'host-key').privateKey,
  authorizedKeys: [keyOf(deps, machine, 'client-key').publicKey],
});

/** What a provider is asked to make, or to make anew. @throws DomainError InvalidRequest for a variant that is not there */
export async function specOf(deps: Deps, machine: MachineRef, digest: string, variant: number): Promise<CreateSpec> {
  const recipe = await recipeOf(deps, digest);
  const { variants, resetCommands = [], resetLeaves = [] } = recipe;
  const wanted = variants[variant];
  if (!wanted) throw new DomainError('InvalidRequest', `Recipe ${digest} has no variant ${variant}.`);
  const reset = isStanding(deps, machine) ? { reset: { commands: resetCommands, leaves: resetLeaves } } : {};
  const { userDataMaxBytes } = providerOf(deps, machine.provider).capabilities();
  const userData = userDataMaxBytes > 0 ? { userData: firstBoot(deps, machine, recipe, variant).text } : {};
  return { hostname: hostnameOf(machine), variant: wanted.spec, ...identityOf(deps, machine), ...userData, ...reset };
}

const hostnameOf = ({ machineId }: MachineRef): string => machineId.replaceAll(/[^a-z0-9-]/g, '-');

/**
 * The machine's cloud-init document. Any worker makes the same one.
 * @throws DomainError InvalidRequest where it contradicts ours, or is longer than the provider takes
 */
function firstBoot(deps: Deps, machine: MachineRef, recipe: Recipe, variant: number): Composed {
  const { userDataMaxBytes } = providerOf(deps, machine.provider).capabilities();
  const user = recipe.variants[variant]?.spec['user'];
  const composed = composedUserData(
    recipe.userData ?? {},
    {
      hostname: hostnameOf(machine),
      ...(typeof user === 'string' ? { loginUser: user } : {}),
      authorizedKeys: identityOf(deps, machine).authorizedKeys,
      hostKey: keyOf(deps, machine, 'host-key'),
    },
    userDataMaxBytes,
  );
  const about = `The user-data of bundle ${recipe.name}`;
  const [conflict] = composed.conflicts;
  if (conflict) {
    const message = `${about} says otherwise than slipway: raw.${conflict.join('.')} is slipway's to say.`;
    throw new DomainError('InvalidRequest', message, { hint: 'Take it out of the bundle.' });
  }
  const bytes = Buffer.byteLength(composed.text);
  if (bytes > userDataMaxBytes) {
    const message = `${about} has ${bytes} bytes; provider ${machine.provider} takes ${userDataMaxBytes}.`;
    throw new DomainError('InvalidRequest', message, {
      hint: 'Move what is long from raw to files and scripts: those the guest can fetch.',
    });
  }
  return composed;
}
