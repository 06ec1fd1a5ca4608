import type { FirstBoot } from '../domain/user-data.ts';
import { checkInScript } from '../guest/check-in.ts';
import type { Guest } from '../guest/guest.ts';
import type { MachineRef } from './activities.ts';
import { providerOf, type Deps } from './deps.ts';

/** What a guest needs to call home. @throws DomainError InvalidRequest where nothing says how it would reach us */
export async function checkInOf(deps: Deps, machine: MachineRef): Promise<NonNullable<FirstBoot['checkIn']>> {
  const { machineId, birth, generation } = machine;
  const { hostAddress } = providerOf(deps, machine.provider).capabilities();
  return { script: checkInScript, bootString: await deps.bootString({ machineId, birth, generation }, hostAddress) };
}

/** For the guest of a provider that takes no user-data: the same two files, in the home of who logs in. */
export async function giveCheckIn(
  deps: Deps,
  machine: MachineRef,
  guest: Pick<Guest, 'installFile'>,
  signal: AbortSignal,
): Promise<void> {
  if (providerOf(deps, machine.provider).capabilities().userDataMaxBytes > 0) return;
  const { script, bootString } = await checkInOf(deps, machine);
  const id = `${machine.key}-${machine.generation}`;
  const put = async (name: string, text: string, mode: string): Promise<void> => {
    const source = { bytes: Buffer.from(text) };
    await guest.installFile(
      { id: `${id}-${name}`, source, path: `~/.slipway/boot/${name}`, mode, parents: true },
      signal,
    );
  };
  await put('boot-string', `${bootString}\n`, '0600');
  await put('check-in', script, '0755');
}
