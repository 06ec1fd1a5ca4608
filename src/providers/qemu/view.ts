import { join } from 'node:path';
import type { MachineView } from '../provider.ts';
import { inFolder } from './arguments.ts';
import { keepConsoleShort } from './console.ts';
import type { QemuPaths } from './paths.ts';
import { findQemu } from './process.ts';
import { withQmp } from './qmp.ts';
import { machineFolder, type MachineRecord } from './record.ts';
import { answerOf } from './clone.ts';
import { isCloneBoot, nameOf } from './machines.ts';

const loopback = '127.0.0.1';
/** A QEMU that is stopped (SIGSTOP, a host out of breath) does not answer, and is there. */
const answersWithinMs = 500;

/** Why a guest stands still that nobody has stopped (`RunState` of QEMU's QMP). */
const standstill: Readonly<Record<string, string>> = {
  'io-error': 'the disk of the host is full, or fails',
  'internal-error': 'the accelerator gave up on its guest',
  'guest-panicked': 'the guest’s kernel panicked',
};

/** How it stands: its record, whether its QEMU lives, and what that says. */
export async function viewOf(
  paths: QemuPaths,
  record: MachineRecord | undefined,
  signal: AbortSignal,
): Promise<MachineView> {
  if (!record) return { state: 'absent' };
  const { id, phase, generation, port, user, wanted, boots, accelerator, template, cold } = record;
  if (phase === 'destroying') return { state: 'destroying' };
  const facts = {
    image: wanted.image,
    boots: String(boots),
    ...(accelerator ? { accelerator } : {}),
    ...(template === undefined ? {} : { template }),
    ...(cold === undefined ? {} : { cold }),
  };
  const own = { generation, facts };
  if (phase === 'making') return { state: 'pending', ...own };
  if (phase === 'off') return { state: 'stopped', ...own, facts: { ...facts, why: 'it was switched off' } };
  const folder = machineFolder(paths, id);
  const stopped = (fault: string): MachineView => ({
    state: 'stopped',
    fault,
    ...own,
    facts: { ...facts, why: fault },
  });
  if ((await findQemu(nameOf(id), folder)) === undefined)
    return stopped('its QEMU has ended: the guest switched itself off, or somebody killed it');
  await keepConsoleShort(folder);
  const status = await withQmp(
    join(folder, inFolder.qmp),
    signal,
    (qmp) => qmp.execute('query-status'),
    answersWithinMs,
  )
    .then((answer) => (answer as { readonly status: string }).status)
    .catch(() => {
      signal.throwIfAborted();
      return 'silent';
    });
  const why = standstill[status];
  if (why !== undefined) return stopped(why);
  // It has no key of its own yet, and nobody may log in.
  const { done, hostKey } = await answerOf(folder);
  if (isCloneBoot(record, 1) && !done) return { state: 'pending', ...own };
  return {
    state: 'running',
    ...own,
    access: { address: loopback, port, user, ...(hostKey === undefined ? {} : { hostKey }) },
  };
}
