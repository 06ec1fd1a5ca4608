import { createHash } from 'node:crypto';
import { mkdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/failure.ts';
import { shellWord } from '../../domain/shell-word.ts';
import type { CreateSpec, OwnerTags } from '../provider.ts';
import { hasTombstone } from '../tombstones.ts';
import { identityScript, isMoreThanIdentity, writeIdentity } from './clone.ts';
import { inFolder, uuidOf, type Hardware, type Launch } from './arguments.ts';
import { alone, lockOf, roomLock } from './locked.ts';
import type { QemuPaths } from './paths.ts';
import { diskFull, endQemu, isFullText, NotStarted, qemuImg, startQemu } from './process.ts';
import { idOf, layRecord, loadRecord, loadRecords, machineFolder, removeRecord, saveRecord } from './record.ts';
import type { MachineRecord } from './record.ts';
import { withQmp } from './qmp.ts';
import { writeSeed } from './seed.ts';
import { inTemplate, templateMac } from './templates.ts';
import type { ImageSettings } from './settings.ts';
import { lacksRoom, type Use, type Wanted } from './variant.ts';

export interface Ground {
  readonly provider: string;
  readonly paths: QemuPaths;
  readonly limits: Use & { readonly machines: number };
  /** What is taken beside machines, by templates that boot. */
  readonly booting: () => Promise<readonly Use[]>;
  readonly hardware: (wanted: Wanted, boot: ImageSettings) => Promise<Hardware>;
}

/** What a machine's disk lies upon. */
export type Base = Pick<MachineRecord, 'image' | 'base' | 'template' | 'cold'>;

export interface Order {
  readonly key: string;
  readonly spec: CreateSpec;
  readonly tags: OwnerTags;
  readonly wanted: Wanted;
  readonly user: string;
  readonly base: Base;
}

/** Below those that a system gives to whoever asks for any (ip_local_port_range). */
const ports = { first: 20_000, count: 12_000 } as const;
/** What must be free beside a machine that is made: a guest whose writes find no room stands still. */
const freeDiskMb = 256;
const restoresWithinMs = 15_000;
const mib = 1_048_576;

export const nameOf = (id: string): string => `slipway-${id}`;

export const isOver = (key: string): DomainError => new DomainError('Gone', `The machine of key ${key} was destroyed.`);
export const isGone = (id: string): DomainError => new DomainError('Gone', `There is no machine ${id}.`);

/** Alone with the machine of this id, whichever process asks. */
export const withMachine = <T>(
  { paths }: Ground,
  id: string,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> => alone(lockOf(paths.locks, id), signal, work);

/**
 * One machine for its key: begun if there is none, gone on with if a create of it was cut off.
 * @throws DomainError Gone, CapacityUnavailable, ProviderUnavailable; then nothing of it is left
 */
export function createMachine(ground: Ground, order: Order, signal: AbortSignal): Promise<MachineRecord> {
  const { paths } = ground;
  const { key } = order;
  const id = idOf(key);
  return withMachine(ground, id, signal, async () => {
    if (hasTombstone(paths.tombstones, key)) throw isOver(key);
    const there = await loadRecord(paths, id);
    if (there && there.phase !== 'making') return there;
    signal.throwIfAborted();
    const record = there ?? (await admit(ground, order, signal));
    try {
      return await makeMachine(ground, record);
    } catch (error) {
      await endQemu(nameOf(id), machineFolder(paths, id));
      await removeRecord(paths, id);
      throw refusal(ground, record, error);
    }
  });
}

/** Counts it among those that are there, if there is room for it. */
function admit(
  { provider, paths, limits, booting }: Ground,
  order: Order,
  signal: AbortSignal,
): Promise<MachineRecord> {
  const { key, spec, tags, wanted, user, base } = order;
  return alone(roomLock(paths), signal, async () => {
    const all = await loadRecords(paths);
    const lacking = lacksRoom(
      wanted,
      all.map(({ wanted }) => wanted),
      limits,
      await booting(),
    );
    if (lacking !== undefined)
      throw new DomainError('CapacityUnavailable', `Provider ${provider} has no room for this machine: ${lacking}.`, {
        hint: `Wait for one to go, or raise memoryMb, cores or machines of providers.${provider} in slipway.yaml.`,
      });
    // That of tombstones too: one is laid for it when no folder may be made any more.
    for (const each of [paths.machines, paths.tombstones]) await mkdir(each, { recursive: true, mode: 0o700 });
    const { bavail, bsize } = await statfs(paths.machines);
    if (bavail * bsize < freeDiskMb * mib) throw diskFull();
    const id = idOf(key);
    const taken = new Set(all.map(({ port }) => port));
    const record: MachineRecord = {
      version: 1,
      id,
      key,
      tags,
      spec,
      wanted,
      user,
      port: freePort(id, (port) => taken.has(port)),
      createdAt: new Date().toISOString(),
      generation: 1,
      ...base,
      phase: 'making',
      boots: 0,
    };
    try {
      await layRecord(paths, record);
    } catch (error) {
      throw refusal({ provider }, record, error);
    }
    return record;
  });
}

/** Pure: the first of a machine's own order of ports that is not taken. */
export function freePort(id: string, isTaken: (port: number) => boolean): number {
  const from = Number.parseInt(id.slice(0, 8), 16) % ports.count;
  for (let n = 0; n < ports.count; n++) {
    const port = ports.first + ((from + n) % ports.count);
    if (!isTaken(port)) return port;
  }
  throw new DomainError('CapacityUnavailable', `All ports from ${ports.first} on are taken.`);
}

/** A new disk and a new seed, whatever is there; then it runs. */
async function makeMachine(ground: Ground, record: MachineRecord): Promise<MachineRecord> {
  const { paths } = ground;
  const folder = machineFolder(paths, record.id);
  await endQemu(nameOf(record.id), folder);
  const { base, wanted, spec, user, template } = record;
  const disk = join(folder, inFolder.disk);
  await rm(disk, { force: true });
  for (const name of [inFolder.console, inFolder.answer]) await rm(join(folder, name), { force: true });
  if (!(await stat(base.file).catch(() => undefined))) throw isMissing(base, template);
  // A clone's is its template's: the guest knows how large it is.
  const size = wanted.diskGb === undefined || template !== undefined ? [] : [`${wanted.diskGb}G`];
  await qemuImg(['create', '-q', '-f', 'qcow2', '-F', base.format, '-b', base.file, disk, ...size]);
  await writeSeed(join(folder, inFolder.seed), instanceOf(record), spec, user);
  if (template !== undefined) await writeIdentity(folder, identityScript(spec, user));
  return startMachine(ground, { ...record, boots: 0 }, record.generation === 1 && record.boots === 0);
}

/** A template that went meanwhile is made again for whoever comes next. */
const isMissing = ({ image, file }: MachineRecord['base'], template: string | undefined): DomainError =>
  template === undefined
    ? new DomainError('InvalidRequest', `Image ${image} is not there any more: ${file}.`)
    : new DomainError('ProviderUnavailable', `Template ${template} of image ${image} is not there any more.`);

/**
 * A clone stays the instance that its template is for cloud-init, so that its next boot makes nothing anew, unless there is
 * more in its document than what it was told.
 */
const instanceOf = ({ id, generation, template, spec }: MachineRecord): string =>
  template === undefined || isMoreThanIdentity(spec.userData) ? `${id}.${generation}` : `template-${template}`;

/** It goes on where its template was left; every later boot is one from its disk. */
export const isCloneBoot = ({ template, boots }: Pick<MachineRecord, 'template' | 'boots'>, boot: number): boolean =>
  template !== undefined && boots === boot;

/**
 * Its QEMU, on the disk that it has.
 * @param anyPort it has told nobody its port: a taken one is another one
 */
export async function startMachine(ground: Ground, record: MachineRecord, anyPort: boolean): Promise<MachineRecord> {
  const { paths } = ground;
  const hardware = await ground.hardware(record.wanted, record.image);
  const refused = new Set<number>();
  for (let { port } = record; ;) {
    try {
      await startQemu(launchOf(paths, { ...record, port }, hardware));
      if (isCloneBoot(record, 0)) await restore(paths, record);
      const now: MachineRecord = {
        ...record,
        port,
        accelerator: hardware.accelerator,
        phase: 'on',
        boots: record.boots + 1,
      };
      await saveRecord(paths, now);
      return now;
    } catch (error) {
      if (!(error instanceof NotStarted)) throw error;
      if (!error.portTaken) throw refusal(ground, record, error);
      if (!anyPort)
        throw new DomainError('ProviderUnavailable', `Port ${port} of this machine is taken by another program.`, {
          cause: error,
        });
      refused.add(port);
      const taken = new Set((await loadRecords(paths)).map((other) => other.port));
      port = freePort(record.id, (each) => refused.has(each) || taken.has(each));
    }
  }
}

function launchOf(paths: QemuPaths, record: MachineRecord, hardware: Hardware): Launch {
  const { id, port } = record;
  const digest = createHash('sha256').update(`${id}.${record.generation}`).digest('hex');
  const uuid = uuidOf(digest);
  // Locally administered, of QEMU's own prefix.
  const mac = `52:54:00:${id.slice(0, 2)}:${id.slice(2, 4)}:${id.slice(4, 6)}`;
  const plain = { name: nameOf(id), uuid, mac, folder: machineFolder(paths, id), hardware, port };
  if (record.template === undefined || !isCloneBoot(record, 0)) return plain;
  const memory = { file: join(paths.templates, record.template, inTemplate.memory), share: false };
  return { ...plain, mac: templateMac, memory, incoming: true };
}

/** The state of its template's processors and devices; its memory is mapped already, copied where it is written. */
async function restore(paths: QemuPaths, { id, template = '' }: MachineRecord): Promise<void> {
  const state = join(paths.templates, template, inTemplate.state);
  const signal = AbortSignal.timeout(restoresWithinMs);
  await withQmp(
    join(machineFolder(paths, id), inFolder.qmp),
    signal,
    async (qmp) => {
      await qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'x-ignore-shared', state: true }] });
      await qmp.execute('migrate-incoming', { uri: `exec:cat ${shellWord(state)}` });
      for (;;) {
        const { status } = (await qmp.execute('query-status')) as { readonly status: string };
        if (status !== 'inmigrate') break;
        await pause(5, undefined, { signal });
      }
      // It was stopped when its state was taken.
      await qmp.execute('cont');
    },
    restoresWithinMs,
  );
}

/**
 * Anew from its image, as generation `generation`; any number of calls, also cut off ones, do it once.
 * @throws DomainError Gone
 */
export function reloadMachine(
  ground: Ground,
  id: string,
  { spec, base }: Pick<Order, 'spec' | 'base'>,
  generation: number,
  signal: AbortSignal,
): Promise<void> {
  return withMachine(ground, id, signal, async () => {
    const { paths } = ground;
    const record = await loadRecord(paths, id);
    if (!record || record.phase === 'destroying') throw isGone(id);
    const again = record.phase === 'making' && record.generation === generation;
    if (record.generation >= generation && !again) return;
    signal.throwIfAborted();
    // From here on it is of that generation, and not made yet: whoever comes next goes on.
    const { template: _, cold: __, ...own } = record;
    const next: MachineRecord = { ...own, ...base, spec, generation, phase: 'making' };
    await alone(roomLock(paths), signal, () => saveRecord(paths, next));
    try {
      await makeMachine(ground, next);
    } catch (error) {
      throw refusal(ground, record, error);
    }
  });
}

/** @throws what is known of why it was not made, in our words */
function refusal({ provider }: Pick<Ground, 'provider'>, record: MachineRecord, error: unknown): unknown {
  if (error instanceof DomainError) return error;
  const { code = '' } = error as NodeJS.ErrnoException;
  const why = error instanceof Error ? error.message : String(error);
  if (isFullText(code) || isFullText(why)) return diskFull(error);
  if (!(error instanceof NotStarted) && code === '') return error;
  const message = `Machine ${record.tags['slipway-machine']} (${provider}) was not started: ${why}.`;
  return new DomainError('ProviderUnavailable', message, { hint: `slipway provider check ${provider}`, cause: error });
}
