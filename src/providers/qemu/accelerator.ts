import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from '../../host/atomic-file.ts';
import { killSession } from '../../host/kill-session.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { inFolder, qemuProgram } from './arguments.ts';
import { alone } from './locked.ts';
import type { QemuPaths } from './paths.ts';
import { endQemu, toolEnvironment } from './process.ts';
import type { Accelerator } from './settings.ts';

export interface Found {
  readonly accelerator: Accelerator;
  /** For people: what was proven, or why it is no faster one. */
  readonly why: string;
}

/** Which faster ones a system may have; everywhere else, and where they fail, QEMU translates. */
const faster: Partial<Record<NodeJS.Platform, Accelerator>> = { linux: 'kvm', darwin: 'hvf' };
const probeWithinMs = 4_000;
/** Nested virtualisation was seen to run every other guest, and to hang the rest. */
const probes = 3;
/** Others probe, and a hung one is ended, before this. */
const turnWithinMs = 60_000;
/** SeaBIOS says so when it has run through all of its code and has found nothing to boot. */
const firmwareEnd = 'No bootable device';

/** Proven by boots one after another; the first that fails decides. */
async function probeAccelerator(folder: string, arch: string): Promise<Found> {
  for (let n = 1; ; n += 1) {
    const found = await probe(folder, arch);
    if (found.accelerator === 'tcg' || n === probes) return found;
  }
}

/**
 * Boots the firmware alone. `/dev/kvm` may be there, open, make machines, and yet hang or kill every guest, so only a guest
 * that came to its end proves anything.
 */
async function probe(folder: string, arch: string): Promise<Found> {
  const accelerator = faster[process.platform];
  if (accelerator === undefined) return { accelerator: 'tcg', why: `no accelerator on ${process.platform}` };
  const machine = arch === 'arm64' ? 'virt' : 'q35';
  // Of this folder alone: another state folder's may be at work.
  const ours = `slipway-probe-${createHash('sha256').update(folder).digest('hex').slice(0, 16)}`;
  await endQemu(ours, folder);
  const known = ['-name', ours, '-pidfile', join(folder, inFolder.pid)];
  const words = [...known, '-nodefaults', '-no-user-config', '-display', 'none', '-machine', machine, '-m', '64'];
  const debug =
    arch === 'arm64' ? [] : ['-chardev', 'stdio,id=out', '-device', 'isa-debugcon,iobase=0x402,chardev=out'];
  const child = spawn(qemuProgram(arch), [...words, '-accel', accelerator, '-cpu', 'host', ...debug], {
    env: toolEnvironment,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  let said = '';
  let failed = '';
  const end = await new Promise<'ended' | 'proven' | 'silent'>((resolve) => {
    const timer = setTimeout(() => resolve('silent'), probeWithinMs);
    child.stdout.on('data', (chunk: Buffer) => {
      said = (said + chunk.toString('latin1')).slice(-2_000);
      if (said.includes(firmwareEnd)) resolve('proven');
    });
    child.stderr.on('data', (chunk: Buffer) => (failed = (failed + chunk.toString()).slice(0, 500)));
    child.once('error', (error) => {
      failed = error.message;
      resolve('ended');
    });
    child.once('close', () => {
      clearTimeout(timer);
      resolve('ended');
    });
  });
  killSession(child);
  const name = accelerator.toUpperCase();
  // No firmware of QEMU's own speaks on this machine type: that its processors run is all there is to see.
  if (end === 'proven' || (end === 'silent' && arch === 'arm64'))
    return { accelerator, why: `${name} ran its probes to their end` };
  if (end === 'silent')
    return {
      accelerator: 'tcg',
      why: `${name} is there and does not work: a probe hung for ${probeWithinMs / 1_000} s in its firmware`,
    };
  const last = failed.trim().split('\n').at(-1) ?? '';
  return { accelerator: 'tcg', why: `no ${name}: ${last === '' ? 'a probe ended at once' : last}` };
}

interface Kept extends Found {
  /** Of the boot of this host that it was probed in: a new kernel may do better. */
  readonly boot: string;
}

const bootOfHost = async (): Promise<string> =>
  (await readFile('/proc/sys/kernel/random/boot_id', 'latin1').catch(noneIfMissing))?.trim() ?? '';

async function keptOf({ accelerator: file }: QemuPaths): Promise<Found | undefined> {
  const text = await readFile(file, 'utf8').catch(noneIfMissing);
  const boot = await bootOfHost();
  const kept = text === undefined ? undefined : (JSON.parse(text) as Kept);
  return kept?.boot === boot && boot !== '' ? { accelerator: kept.accelerator, why: kept.why } : undefined;
}

/** One probe at a time: each ends what one whose process died has left. */
const inTurn = (paths: QemuPaths, work: () => Promise<Found>): Promise<Found> =>
  alone(join(paths.locks, 'probe'), AbortSignal.timeout(turnWithinMs), work);

async function probeAndKeep({ folder, accelerator: file }: QemuPaths, arch: string): Promise<Found> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found = await probeAccelerator(folder, arch);
  const kept: Kept = { ...found, boot: await bootOfHost() };
  await replaceFile(file, `${JSON.stringify(kept)}\n`);
  return found;
}

/** What a probe found, which is kept for as long as the host is up. */
export async function knownAccelerator(paths: QemuPaths, arch: string): Promise<Found> {
  const kept = await keptOf(paths);
  return kept ?? inTurn(paths, async () => (await keptOf(paths)) ?? probeAndKeep(paths, arch));
}

/** Probes whatever is known. */
export const probedAnew = (paths: QemuPaths, arch: string): Promise<Found> =>
  inTurn(paths, () => probeAndKeep(paths, arch));
