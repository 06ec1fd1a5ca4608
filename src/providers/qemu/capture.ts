import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/failure.ts';
import { inFolder } from './arguments.ts';
import { isGone, nameOf } from './machines.ts';
import type { QemuPaths } from './paths.ts';
import { diskFull, findQemu, isFullText, qemuImg } from './process.ts';
import { withQmp } from './qmp.ts';
import { loadRecord, machineFolder, type MachineRecord } from './record.ts';

const job = 'capture';
const lookEveryMs = 100;

interface Job {
  readonly id: string;
  readonly status: string;
  readonly error?: string;
}

/** What a machine's QEMU is asked, of its capture. */
function jobsOf(paths: QemuPaths, id: string, signal: AbortSignal) {
  const path = join(machineFolder(paths, id), inFolder.qmp);
  const ask = <T>(command: string, args?: Readonly<Record<string, unknown>>): Promise<T> =>
    withQmp(path, signal, async (qmp) => (await qmp.execute(command, args)) as T);
  const find = async (): Promise<Job | undefined> => (await ask<Job[]>('query-jobs')).find((each) => each.id === job);
  const end = async (): Promise<void> => {
    const there = await find();
    if (there && there.status !== 'concluded') await ask('job-cancel', { id: job }).catch(() => undefined);
    for (let now = await find(); now; now = await find()) {
      if (now.status === 'concluded') await ask('job-dismiss', { id: job });
      else await pause(lookEveryMs);
    }
  };
  return { ask, find, end };
}

/** Ends what a capture has left going whose process died. @throws DomainError ProviderUnavailable */
export async function endCapture(paths: QemuPaths, id: string, signal: AbortSignal): Promise<void> {
  if ((await findQemu(nameOf(id), machineFolder(paths, id))) !== undefined) await jobsOf(paths, id, signal).end();
}

/**
 * The machine's whole disk as it is at this moment, while the machine goes on: what its guest has not written yet is missing,
 * as after a power cut. The machine is kept from nothing meanwhile: when it is switched, made anew or destroyed, there is no
 * image.
 * @throws DomainError Gone, InvalidRequest (not now), CapacityUnavailable (the disk is full), ProviderUnavailable
 */
export async function captureMachine(paths: QemuPaths, id: string, file: string, signal: AbortSignal): Promise<void> {
  const before = await loadRecord(paths, id);
  if (before?.phase === 'making') throw notNow(before, 'is being made');
  const unchanged = async (): Promise<void> => {
    const now = await loadRecord(paths, id);
    if (!before || !now || now.phase === 'destroying') throw isGone(id);
    const same = now.generation === before.generation && now.boots === before.boots && now.phase === before.phase;
    if (!same) throw notNow(now, 'was switched or made anew while an image was taken of it');
  };
  await unchanged();
  try {
    await takeDisk(paths, id, file, signal);
  } catch (error) {
    signal.throwIfAborted();
    await unchanged();
    throw error;
  }
  await unchanged();
}

const notNow = ({ tags }: MachineRecord, why: string): DomainError =>
  new DomainError('InvalidRequest', `Machine ${tags['slipway-machine']} ${why}.`, {
    hint: 'Take it when the machine runs, or is off.',
  });

async function takeDisk(paths: QemuPaths, id: string, file: string, signal: AbortSignal): Promise<void> {
  const folder = machineFolder(paths, id);
  if ((await findQemu(nameOf(id), folder)) === undefined) {
    await qemuImg(['convert', '-q', '-O', 'qcow2', join(folder, inFolder.disk), file], signal);
    return;
  }
  const { ask, find, end } = jobsOf(paths, id, signal);
  await end();
  await ask('drive-backup', {
    'job-id': job,
    device: 'disk',
    target: file,
    format: 'qcow2',
    sync: 'full',
    'auto-dismiss': false,
  });
  try {
    for (;;) {
      const now = await find();
      if (!now) throw new DomainError('ProviderUnavailable', 'QEMU knows nothing of the capture any more.');
      if (now.status === 'concluded') {
        if (now.error === undefined) return;
        throw isFullText(now.error)
          ? diskFull()
          : new DomainError('ProviderUnavailable', `The disk could not be copied: ${now.error}.`);
      }
      signal.throwIfAborted();
      await pause(lookEveryMs);
    }
  } finally {
    await end();
  }
}
