import { asksCheckIn, type Recipe } from '../domain/bundle.ts';
import { DomainError } from '../domain/failure.ts';
import { isGuestsOwn } from '../domain/host-key.ts';
import { composedUserData, type Composed, type FirstBoot } from '../domain/user-data.ts';
import type { CreateSpec, Identity } from '../providers/provider.ts';
import type { MachineRef } from './activities.ts';
import { checkInOf } from './check-in.ts';
import { isStanding, keyOf, providerOf, recipeOf, type Deps } from './deps.ts';
import { keyInUserData } from './key-source.ts';

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
  const userData = userDataMaxBytes > 0 ? { userData: (await firstBoot(deps, machine, recipe, variant)).text } : {};
  const own = makesOwnKey(deps, machine, recipe) ? ({ ownHostKey: true } as const) : {};
  const identity = identityOf(deps, machine);
  return { hostname: hostnameOf(machine), variant: wanted.spec, ...identity, ...own, ...userData, ...reset };
}

/** @throws DomainError InvalidRequest where nothing could say which key that is */
function makesOwnKey(deps: Deps, machine: MachineRef, { name, hostKey }: Recipe): boolean {
  if (!isGuestsOwn(hostKey) || !keyInUserData(deps, machine)) return false;
  if (hostKey !== 'console' || providerOf(deps, machine.provider).capabilities().console) return true;
  const message = `Bundle ${name} wants host keys from the console, and provider ${machine.provider} shows none.`;
  throw new DomainError('InvalidRequest', message, { hint: 'hostKey: checkin' });
}

const hostnameOf = ({ machineId }: MachineRef): string => machineId.replaceAll(/[^a-z0-9-]/g, '-');

/**
 * The machine's cloud-init document. Any worker makes the same one.
 * @throws DomainError InvalidRequest where it contradicts ours, or is longer than the provider takes
 */
async function firstBoot(deps: Deps, machine: MachineRef, recipe: Recipe, variant: number): Promise<Composed> {
  const { userDataMaxBytes } = providerOf(deps, machine.provider).capabilities();
  const user = recipe.variants[variant]?.spec['user'];
  const boot: FirstBoot = {
    hostname: hostnameOf(machine),
    ...(typeof user === 'string' ? { loginUser: user } : {}),
    authorizedKeys: identityOf(deps, machine).authorizedKeys,
    ...(makesOwnKey(deps, machine, recipe) ? {} : { hostKey: keyOf(deps, machine, 'host-key') }),
  };
  const compose = (as: FirstBoot): Composed => composedUserData(recipe.userData ?? {}, as, userDataMaxBytes);
  const isLong = ({ text }: Composed): boolean => Buffer.byteLength(text) > userDataMaxBytes;
  const alone = compose(boot);
  // Who can call home can also fetch what is too long.
  const callsHome = asksCheckIn(recipe.gate) || recipe.hostKey === 'checkin' || isLong(alone);
  const composed = callsHome ? compose({ ...boot, checkIn: await checkInOf(deps, machine) }) : alone;
  const about = `The user-data of bundle ${recipe.name}`;
  const [conflict] = composed.conflicts;
  if (conflict) {
    const message = `${about} says otherwise than slipway: raw.${conflict.join('.')} is slipway's to say.`;
    throw new DomainError('InvalidRequest', message, { hint: 'Take it out of the bundle.' });
  }
  if (isLong(composed)) {
    const bytes = Buffer.byteLength(composed.text);
    const message = `${about} has ${bytes} bytes; provider ${machine.provider} takes ${userDataMaxBytes}.`;
    throw new DomainError('InvalidRequest', message, {
      hint: 'Move what is long from raw to files and scripts: those the guest can fetch.',
    });
  }
  return composed;
}
