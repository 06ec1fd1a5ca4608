import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/failure.ts';
import { inFolder } from './arguments.ts';
import { nameOf } from './machines.ts';
import type { QemuPaths } from './paths.ts';
import { diskFull, findQemu, isFullText, qemuImg } from './process.ts';
import { withQmp } from './qmp.ts';
import { machineFolder } from './record.ts';

const job = 'capture';
const lookEveryMs = 100;

interface Job {
  readonly id: string;
  readonly status: string;
  readonly error?: string;
}

/**
 * The machine's whole disk as it is at this moment, while the machine goes on: what its guest has not written yet is missing,
 * as after a power cut.
 * @throws DomainError CapacityUnavailable (the disk is full), ProviderUnavailable
 */
export async function takeDisk(paths: QemuPaths, id: string, file: string, signal: AbortSignal): Promise<void> {
  const folder = machineFolder(paths, id);
  if ((await findQemu(nameOf(id), folder)) === undefined) {
    await qemuImg(['convert', '-q', '-O', 'qcow2', join(folder, inFolder.disk), file], signal);
    return;
  }
  const ask = <T>(command: string, args?: Readonly<Record<string, unknown>>): Promise<T> =>
    withQmp(join(folder, inFolder.qmp), signal, async (qmp) => (await qmp.execute(command, args)) as T);
  const find = async (): Promise<Job | undefined> => (await ask<Job[]>('query-jobs')).find((each) => each.id === job);
  const end = async (): Promise<void> => {
    const there = await find();
    if (there && there.status !== 'concluded') await ask('job-cancel', { id: job }).catch(() => undefined);
    for (let now = await find(); now; now = await find()) {
      if (now.status === 'concluded') await ask('job-dismiss', { id: job });
      else await pause(lookEveryMs);
    }
  };
  // Of a capture whose process died.
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
