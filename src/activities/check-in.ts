import { bootFolder, withBootString, type FirstBoot } from '../domain/user-data.ts';
import { checkInScript } from '../guest/check-in.ts';
import type { Guest } from '../guest/guest.ts';
import type { MachineRef } from './activities.ts';
import { providerOf, type Deps } from './deps.ts';
import { refOf } from './until-running.ts';

/** What a guest needs to call home. @throws DomainError InvalidRequest where nothing says how it would reach us */
export async function checkInOf(deps: Deps, machine: MachineRef): Promise<NonNullable<FirstBoot['checkIn']>> {
  const { machineId, birth, generation } = machine;
  const { hostAddress } = providerOf(deps, machine.provider).capabilities();
  return { script: checkInScript, bootString: await deps.bootString({ machineId, birth, generation }, hostAddress) };
}

type Installing = Pick<Guest, 'installFile'>;

const byUserData = (deps: Deps, { provider }: MachineRef): boolean =>
  providerOf(deps, provider).capabilities().userDataMaxBytes > 0;

/** For the guest of a provider that takes no user-data: the same two files, in the home of who logs in. */
export async function giveCheckIn(
  deps: Deps,
  machine: MachineRef,
  guest: Installing,
  signal: AbortSignal,
): Promise<void> {
  if (!byUserData(deps, machine)) await putCheckIn(deps, machine, guest, '~/.slipway/boot', signal);
}

/**
 * For a guest that was reset: what it has is its last generation's, whose calls count as replayed. User-data is read at a
 * machine's first boot only, so it is put where that has put it, and the document says the same.
 * @param machine as it will be
 */
export async function renewCheckIn(
  deps: Deps,
  machine: MachineRef,
  guest: Installing,
  signal: AbortSignal,
): Promise<void> {
  if (!byUserData(deps, machine)) return giveCheckIn(deps, machine, guest, signal);
  const bootString = await putCheckIn(deps, machine, guest, bootFolder, signal);
  const { userData } = providerOf(deps, machine.provider);
  if (!userData) return;
  const ref = await refOf(deps, machine, signal);
  await userData.update(ref, withBootString(await userData.read(ref, signal), bootString), signal);
}

async function putCheckIn(
  deps: Deps,
  machine: MachineRef,
  guest: Installing,
  folder: string,
  signal: AbortSignal,
): Promise<string> {
  const { script, bootString } = await checkInOf(deps, machine);
  const id = `${machine.key}-${machine.generation}`;
  const put = async (name: string, text: string, mode: string): Promise<void> => {
    const source = { bytes: Buffer.from(text) };
    await guest.installFile({ id: `${id}-${name}`, source, path: `${folder}/${name}`, mode, parents: true }, signal);
  };
  await put('boot-string', `${bootString}\n`, '0600');
  await put('check-in', script, '0755');
  return bootString;
}
