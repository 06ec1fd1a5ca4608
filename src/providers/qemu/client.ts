import { cpus, totalmem } from 'node:os';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import { DomainError } from '../../domain/failure.ts';
import type { CreateSpec, MachineState, Provider } from '../provider.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { captureMachine } from './capture.ts';
import { forgetOldTombstones, hasTombstone, layTombstone } from '../tombstones.ts';
import { knownAccelerator } from './accelerator.ts';
import { inFolder, qemuProgram } from './arguments.ts';
import { checkQemu } from './check.ts';
import { consoleTail } from './console.ts';
import { createImages } from './images.ts';
import { alone, roomLock } from './locked.ts';
import {
  createMachine,
  isGone,
  isOver,
  nameOf,
  reloadMachine,
  withMachine,
  type Base,
  type Ground,
} from './machines.ts';
import { qemuPaths } from './paths.ts';
import { powerMachine } from './power.ts';
import { endQemu, isFull, programVersion } from './process.ts';
import { needPrograms } from './programs.ts';
import { idOf, loadRecord, loadRecords, machineFolder, removeRecord, saveRecord } from './record.ts';
import { readUserData, replaceUserData } from './seed.ts';
import type { QemuSettings } from './settings.ts';
import { createTemplates, inTemplate } from './templates.ts';
import { checkDisk, checkSpec, limitsOf, type Wanted } from './variant.ts';
import { viewOf } from './view.ts';

export interface QemuProviderOptions {
  readonly name: string;
  /** Of this provider in the state folder, absolute: its machines, and the images that it fetched. */
  readonly folder: string;
  readonly installation: string;
  readonly settings: QemuSettings;
  readonly logger?: Logger;
}

/** No limit of NoCloud's own is known. */
const userDataMaxBytes = 1_048_576;
/** The host, in the network of QEMU's own (`-netdev user`). */
const hostAddress = '10.0.2.2';
const mib = 1_048_576;
const expireEveryMs = 3_600_000;
const tendBootingEveryMs = 60_000;

/**
 * Virtual machines on this host, each a QEMU of its own that outlives us. All that is known of them is in `folder`, which any
 * number of processes may use at once.
 */
export function createQemuProvider(options: QemuProviderOptions): Provider {
  const { name, folder, installation, settings } = options;
  const paths = qemuPaths(folder);
  const images = createImages(name, paths, settings);
  const limits = limitsOf(settings, { cores: cpus().length, memoryMb: Math.floor(totalmem() / mib) });
  const templates = createTemplates(paths, options.logger);
  const ground: Ground = {
    booting: () => templates.booting(),
    provider: name,
    paths,
    limits,
    hardware: async ({ cores, memoryMb }, boot) => {
      const { arch } = process;
      const accelerator = settings.accelerator ?? (await knownAccelerator(paths, arch)).accelerator;
      return { arch, accelerator, cores, memoryMb, boot };
    },
  };
  let expireAtMs = 0;
  let tendAtMs = 0;

  /** Now and then, with what is asked anyway: nobody may wait any more for a template that boots, or for an image. */
  async function tend(signal: AbortSignal): Promise<void> {
    if (performance.now() < tendAtMs) return;
    tendAtMs = performance.now() + expireEveryMs;
    if (await templates.tend(signal)) tendAtMs = performance.now() + tendBootingEveryMs;
    // It takes room, and nothing else.
    await images
      .tend(signal)
      .catch((error: unknown) => options.logger?.warn({ error }, 'what a capture has left could not be cleared away'));
  }

  /**
   * What all machines of an image and a size share, made once and waited for: the image, and where it is warm a booted one.
   * A machine's own guest is never waited for.
   */
  async function baseOf(
    wanted: Wanted,
    { ownHostKey }: CreateSpec,
    signal: AbortSignal,
  ): Promise<Base & { readonly user: string }> {
    const image = await images.ready(wanted.image, signal);
    const { settings: of } = image;
    checkDisk(wanted, image);
    const user = wanted.user ?? of.user ?? 'debian';
    const base = { file: image.file, format: image.format, image: image.name };
    if (of.warm !== true) return { user, image: of, base };
    // A clone answers before cloud-init has made it one.
    if (ownHostKey) return { user, image: of, base, cold: 'its guest makes its own host key as it first boots' };
    const hardware = await ground.hardware(wanted, of);
    const version = (await programVersion(qemuProgram(hardware.arch))) ?? '';
    const size = wanted.diskGb === undefined ? {} : { diskGb: wanted.diskGb };
    const template = await templates.ready({ image, hardware, user, version, ...size }, signal);
    if (typeof template === 'string') return { user, image: of, base, cold: template };
    const disk = { file: join(template.folder, inTemplate.disk), format: 'qcow2', image: image.name } as const;
    return { user, image: of, base: disk, template: template.id };
  }

  const listed = async () => {
    const warm = await templates.images();
    return (await images.list()).map((view) => (warm.has(view.name) ? Object.assign(view, { warm: true }) : view));
  };

  const known = async (id: string) => {
    const record = await loadRecord(paths, id);
    if (!record || record.phase === 'destroying') throw isGone(id);
    return record;
  };

  async function destroy(id: string, signal: AbortSignal): Promise<void> {
    await withMachine(ground, id, signal, async () => {
      const record = await loadRecord(paths, id);
      if (!record) return;
      if (record.phase !== 'destroying') await saveRecord(paths, { ...record, phase: 'destroying' });
      await endQemu(nameOf(id), machineFolder(paths, id));
      await removeRecord(paths, id);
    });
    if (performance.now() < expireAtMs) return;
    expireAtMs = performance.now() + expireEveryMs;
    await forgetOldTombstones(paths.tombstones);
  }

  return {
    name,
    capabilities: () => ({
      idempotentCreate: 'token',
      settleMs: 0,
      userDataMaxBytes,
      power: true,
      console: true,
      reload: true,
      rekey: false,
      images: true,
      userData: true,
      hostAddress,
    }),

    async create(key, spec, tags, signal) {
      signal.throwIfAborted();
      const wanted = checkSpec(name, spec);
      if (hasTombstone(paths.tombstones, key)) throw isOver(key);
      const there = await loadRecord(paths, idOf(key));
      if (there && there.phase !== 'making') return { machine: there.id, key };
      needPrograms(name);
      await tend(signal);
      const { user, ...base } = await baseOf(wanted, spec, signal);
      const { id } = await createMachine(ground, { key, spec, tags, wanted, user, base }, signal);
      signal.throwIfAborted();
      return { machine: id, key };
    },

    async findByKey(key, signal) {
      signal.throwIfAborted();
      const record = await loadRecord(paths, idOf(key));
      return record?.tags['slipway-installation'] === installation ? { machine: record.id, key } : undefined;
    },

    async get({ machine = '' }, signal) {
      signal.throwIfAborted();
      return viewOf(paths, await loadRecord(paths, machine), signal);
    },

    async list(owner, signal) {
      signal.throwIfAborted();
      await tend(signal);
      const all = (await loadRecords(paths)).filter(({ tags }) => tags['slipway-installation'] === owner);
      return Promise.all(
        all.map(async (record) => {
          const { id, key, tags, createdAt } = record;
          const { state } = await viewOf(paths, record, signal);
          return { key, ref: { machine: id, key }, tags, state: state satisfies MachineState, createdAt };
        }),
      );
    },

    async destroy({ machine = '', key }, signal) {
      const of = key ?? (await loadRecord(paths, machine))?.key;
      const goes = async (): Promise<void> => {
        // Before its turn: a create of it that is under way makes nothing new.
        if (of !== undefined) await layTombstone(paths.tombstones, of);
        await destroy(machine, signal);
      };
      try {
        await goes();
      } catch (error) {
        if (!isFull(error)) throw error;
        // Nothing can be written, not even that it goes: what takes the room goes first.
        const folder = machineFolder(paths, machine);
        await endQemu(nameOf(machine), folder);
        for (const file of [inFolder.disk, inFolder.seed])
          await rm(join(folder, file), { recursive: true, force: true });
        await goes();
      }
    },

    async reload({ machine = '' }, spec, generation, signal) {
      const wanted = checkSpec(name, spec);
      const record = await known(machine);
      if (record.generation >= generation && record.phase !== 'making') return;
      needPrograms(name);
      const { user: _, ...base } = await baseOf(wanted, spec, signal);
      await reloadMachine(ground, machine, { spec, base }, generation, signal);
    },

    power: ({ machine = '' }, action, signal) => powerMachine(ground, machine, action, signal),

    async console({ machine = '' }, maxBytes, signal) {
      signal.throwIfAborted();
      const { id } = await known(machine);
      return consoleTail(machineFolder(paths, id), maxBytes);
    },

    userData: {
      async read({ machine = '' }, signal) {
        signal.throwIfAborted();
        const { id } = await known(machine);
        const text = await readUserData(join(machineFolder(paths, id), inFolder.seed)).catch(noneIfMissing);
        if (text === undefined) throw isGone(machine);
        return text;
      },
      async update({ machine = '' }, userData, signal) {
        const bytes = Buffer.byteLength(userData);
        if (bytes > userDataMaxBytes)
          throw new DomainError('InvalidRequest', `User-data of ${bytes} bytes: the most is ${userDataMaxBytes}.`);
        await withMachine(ground, machine, signal, async () => {
          const record = await known(machine);
          await saveRecord(paths, { ...record, spec: { ...record.spec, userData } });
          await replaceUserData(join(machineFolder(paths, machine), inFolder.seed), userData);
        });
      },
    },

    images: {
      list: listed,
      async resolve(image, signal) {
        signal.throwIfAborted();
        const found = (await listed()).find((each) => each.name === image);
        if (found) return found;
        throw new DomainError('NotFound', `Provider ${name} has no image ${JSON.stringify(image)}.`);
      },
      async capture({ machine = '' }, image, signal) {
        const { generation, image: settings } = await known(machine);
        return images.capture(image, `${machine}.${generation}`, settings, (file, closing) =>
          captureMachine(paths, machine, file, AbortSignal.any([signal, closing])),
        );
      },
      async remove(image, signal) {
        // Nobody comes to lie upon it meanwhile.
        await alone(roomLock(paths), signal, async () => {
          const users = (await loadRecords(paths)).filter(({ base }) => base.image === image);
          if (users.length > 0)
            throw new DomainError('InvalidRequest', `Image ${image} is what ${users.length} machines lie upon.`, {
              hint: `The first is ${users[0]?.tags['slipway-machine']}.`,
            });
          await images.remove(image);
        });
        await templates.forget(image);
      },
    },

    check: (signal, quick = false) =>
      checkQemu({ provider: name, paths, settings, limits, images, booting: ground.booting }, quick, signal),
    async close() {
      images.close();
    },
  };
}
