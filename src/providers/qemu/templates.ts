import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { mkdir, readFile, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { shellWord } from '../../domain/shell-word.ts';
import { baseFolder, prepareText } from '../../guest/scripts.ts';
import { replaceFile } from '../../host/atomic-file.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { inFolder, uuidOf, type Hardware, type Launch } from './arguments.ts';
import { answerOf, writeIdentity } from './clone.ts';
import type { ReadyImage } from './images.ts';
import { alone, lockOf, roomLock } from './locked.ts';
import type { QemuPaths } from './paths.ts';
import { diskFull, endQemu, findQemu, isFull, qemuImg, startQemu } from './process.ts';
import { withQmp } from './qmp.ts';
import { loadRecords } from './record.ts';
import { writeDocument } from './seed.ts';
import type { Use } from './variant.ts';

/** A booted machine, at rest in files: its disk, its memory, and the state of all else. */
export interface Template {
  readonly id: string;
  readonly folder: string;
}

export const inTemplate = { disk: inFolder.disk, memory: 'ram', state: 'state', record: 'template.json' } as const;

interface TemplateRecord {
  readonly state: 'building' | 'snapping' | 'ready' | 'failed';
  readonly image: string;
  /** Other for other bytes of the image, another QEMU or way of cloning: no machine is cloned from it again. */
  readonly way: string;
  /** What it takes of the host while its QEMU runs. */
  readonly takes: Use;
  /** ISO 8601: of the state. */
  readonly since: string;
  readonly why?: string;
}

export interface TemplateOrder {
  readonly image: ReadyImage;
  readonly hardware: Hardware;
  readonly diskGb?: number;
  readonly user: string;
  /** Of QEMU, in its own words: one cannot always take over what another left. */
  readonly version: string;
}

export interface Templates {
  /**
   * Boots one where there is none, once for all processes; whoever needs it waits. Each step may be cut off: another goes on.
   * @returns why there is none: then its machines boot by themselves
   */
  ready(order: TemplateOrder, signal: AbortSignal): Promise<Template | string>;
  /** Names of images of which one is ready. */
  images(): Promise<ReadonlySet<string>>;
  /** Takes away those of the image, which is gone, unless machines lie upon them. */
  forget(image: string): Promise<void>;
  /** What those take whose QEMU runs, which are no machines. */
  booting(): Promise<readonly Use[]>;
  /**
   * Goes on with those that nobody waits for any more: takes what is ready, ends what boots for too long.
   * @returns whether any boots still
   */
  tend(signal: AbortSignal): Promise<boolean>;
}

/** Of what lies in a template's folder. */
const format = 1;
const guestScript = readFileSync(new URL('template-guest.sh', import.meta.url), 'utf8');
/** Of the guest's part in cloning. */
const guestWay = [guestScript, prepareText('', '')];
/** A guest without an accelerator, on a busy host. */
const bootsWithinMs = 900_000;
const failedForMs = 600_000;
/**
 * A clone keeps it as long as the QEMU that it began in: that has the address of the forwarded port leased to it, and a guest
 * that came back from a reset with another would get another. It has a network of its own, so nobody else's is like it.
 */
export const templateMac = '52:54:00:00:00:01';
const lookEveryMs = 50;
const snapsWithinMs = 60_000;

const nameOf = (id: string): string => `slipway-template-${id}`;

export function createTemplates(paths: QemuPaths, logger: Logger | undefined): Templates {
  const folderOf = (id: string): string => join(paths.templates, id);
  const load = async (id: string): Promise<TemplateRecord | undefined> => {
    const text = await readFile(join(folderOf(id), inTemplate.record), 'utf8').catch(noneIfMissing);
    // Of another version of us: outdated, whatever it is.
    const unknown = { way: '', takes: { cores: 0, memoryMb: 0 } };
    return text === undefined ? undefined : { ...unknown, ...(JSON.parse(text) as TemplateRecord) };
  };
  const loadAll = async (): Promise<readonly (readonly [id: string, record: TemplateRecord])[]> => {
    const ids = (await readdir(paths.templates).catch(noneIfMissing)) ?? [];
    const all = await Promise.all(ids.map(async (id) => [id, await load(id)] as const));
    return all.flatMap(([id, record]) => (record ? [[id, record] as const] : []));
  };
  const save = async (id: string, record: Omit<TemplateRecord, 'since'>): Promise<void> =>
    replaceFile(
      join(folderOf(id), inTemplate.record),
      `${JSON.stringify({ ...record, since: new Date().toISOString() } satisfies TemplateRecord)}\n`,
    );
  const ageOf = ({ since }: TemplateRecord): number => Date.now() - Date.parse(since);

  async function begin(id: string, order: TemplateOrder): Promise<void> {
    const { image, hardware, diskGb } = order;
    const folder = folderOf(id);
    await endQemu(nameOf(id), folder);
    await rm(folder, { recursive: true, force: true });
    await mkdir(folder, { recursive: true, mode: 0o700 });
    await save(id, { state: 'building', ...kindOf(order) });
    const size = diskGb === undefined ? [] : [`${diskGb}G`];
    const disk = join(folder, inTemplate.disk);
    await qemuImg(['create', '-q', '-f', 'qcow2', '-F', image.format, '-b', image.file, disk, ...size]);
    await writeDocument(join(folder, inFolder.seed), `template-${id}`, 'template', templateDocument(order.user));
    await writeIdentity(folder, undefined);
    const memory = { file: join(folder, inTemplate.memory), share: true };
    await startQemu({ ...machineOf(id), name: nameOf(id), folder, hardware, memory });
    logger?.info({ image: image.name, template: id }, 'booting a template');
  }

  /** Its guest waits: all of it goes to files, and its QEMU ends. */
  async function snap(id: string, record: TemplateRecord): Promise<void> {
    const folder = folderOf(id);
    await save(id, { ...record, state: 'snapping' });
    const state = join(folder, inTemplate.state);
    const signal = AbortSignal.timeout(snapsWithinMs);
    await withQmp(
      join(folder, inFolder.qmp),
      signal,
      async (qmp) => {
        await qmp.execute('stop');
        await qmp.execute('migrate-set-capabilities', {
          capabilities: [{ capability: 'x-ignore-shared', state: true }],
        });
        await qmp.execute('migrate', { uri: `exec:cat >${shellWord(`${state}.part`)}` });
        for (;;) {
          const { status, 'error-desc': why } = (await qmp.execute('query-migrate')) as {
            readonly status?: string;
            readonly 'error-desc'?: string;
          };
          if (status === 'completed') break;
          if (status === 'failed') throw new Error(why ?? 'its state could not be written');
          await pause(10, undefined, { signal });
        }
      },
      snapsWithinMs,
    );
    await endQemu(nameOf(id), folder);
    await rename(`${state}.part`, state);
    await save(id, { ...record, state: 'ready' });
    logger?.info({ image: record.image, template: id }, 'a template is ready');
  }

  /** The next step, whoever did the one before. */
  async function step(id: string, order: TemplateOrder): Promise<void> {
    const record = await load(id);
    if (record?.state === 'ready' || (record?.state === 'failed' && ageOf(record) < failedForMs)) return;
    return record?.state === 'building' ? goOn(id, record) : begin(id, order);
  }

  async function goOn(id: string, record: TemplateRecord): Promise<void> {
    if ((await findQemu(nameOf(id), folderOf(id))) === undefined) {
      // Killed, or its guest switched itself off: an image that always does so must not be booted for ever.
      await save(id, { ...record, state: 'failed', why: 'its QEMU ended while it booted' });
      return;
    }
    if ((await answerOf(folderOf(id))).waiting) return snap(id, record);
    if (ageOf(record) < bootsWithinMs) return;
    await endQemu(nameOf(id), folderOf(id));
    await save(id, {
      ...record,
      state: 'failed',
      why: `its guest was not ready to be cloned within ${bootsWithinMs / 60_000} min (has it cloud-init and systemd?)`,
    });
  }

  async function discard(id: string): Promise<void> {
    await endQemu(nameOf(id), folderOf(id));
    await rm(folderOf(id), { recursive: true, force: true });
  }

  /** Takes away what matches and no machine lies upon: none comes to lie upon it meanwhile, for records are laid under `room`. */
  async function prune(matches: (record: TemplateRecord) => boolean): Promise<void> {
    const signal = AbortSignal.timeout(snapsWithinMs);
    for (const [id, seen] of await loadAll()) {
      if (!matches(seen)) continue;
      await alone(lockOf(paths.locks, id), signal, () =>
        alone(roomLock(paths), signal, async () => {
          const record = await load(id);
          const used = (await loadRecords(paths)).some(({ template }) => template === id);
          if (record && matches(record) && !used) await discard(id);
        }),
      );
    }
  }

  const templates: Templates = {
    async ready(order, signal) {
      const id = idOf(order);
      for (;;) {
        const record = await load(id);
        if (record?.state === 'ready') {
          return { id, folder: folderOf(id) };
        }
        if (record?.state === 'failed' && ageOf(record) < failedForMs) return record.why ?? 'its template failed';
        signal.throwIfAborted();
        await alone(lockOf(paths.locks, id), signal, async () => {
          try {
            await step(id, order);
          } catch (error) {
            if (isFull(error)) throw diskFull(error);
            await endQemu(nameOf(id), folderOf(id));
            const why = error instanceof Error ? error.message : String(error);
            await save(id, { state: 'failed', ...kindOf(order), why });
            logger?.error({ image: order.image.name, template: id, error }, 'a template failed');
          }
        });
        if ((await load(id))?.state === 'ready') {
          const { image, way } = kindOf(order);
          await prune((other) => other.image === image && other.way !== way && !boots(other));
        } else await pause(lookEveryMs, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    },

    async images() {
      const all = await loadAll();
      return new Set(all.flatMap(([, record]) => (record.state === 'ready' ? [record.image] : [])));
    },

    forget: (image) => prune((record) => record.image === image),

    async booting() {
      return (await loadAll()).flatMap(([, record]) => (boots(record) ? [record.takes] : []));
    },

    async tend(signal) {
      for (const [id, seen] of await loadAll()) {
        if (!boots(seen)) continue;
        await alone(lockOf(paths.locks, id), signal, async () => {
          const record = await load(id);
          if (!record || !boots(record)) return;
          try {
            // Whoever snapped it is dead, for we have its lock: half a template is none.
            if (record.state === 'snapping') await discard(id);
            else await goOn(id, record);
          } catch (error) {
            logger?.error({ image: record.image, template: id, error }, 'a template that nobody waits for failed');
            await discard(id);
          }
        });
      }
      return (await templates.booting()).length > 0;
    },
  };
  return templates;
}

const boots = ({ state }: TemplateRecord): boolean => state === 'building' || state === 'snapping';

const digestOf = (all: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(all)).digest('hex').slice(0, 16);

function kindOf({ image, hardware, version }: TemplateOrder): Pick<TemplateRecord, 'image' | 'way' | 'takes'> {
  const { accelerator, boot, cores, memoryMb } = hardware;
  const way = digestOf([format, guestWay, image.identity, accelerator, boot, version]);
  return { image: image.name, way, takes: { cores, memoryMb } };
}

/** Another for another image, machine, user, QEMU or way of cloning. */
function idOf({ image, hardware, diskGb = 0, user, version }: TemplateOrder): string {
  return digestOf([format, guestWay, image.identity, hardware, diskGb, user, version]);
}

/** A clone gets its own only when it boots next: these are in the memory of the template's guest. */
function machineOf(id: string): Pick<Launch, 'uuid' | 'mac'> {
  return { uuid: uuidOf(id.padEnd(32, '0')), mac: templateMac };
}

function templateDocument(user: string): string {
  const path = '/var/lib/slipway/template-guest';
  const first = '/var/lib/slipway/prepare';
  const guest = `sh ${path} ${user} ${first}`;
  const start = `systemd-run --collect --no-block --unit=slipway-clone ${guest} || { setsid ${guest} </dev/null >/dev/null 2>&1 & }`;
  const config = {
    hostname: 'template',
    ...(user === 'root' ? { disable_root: false } : { user: { name: user } }),
    write_files: [
      { path, permissions: '0700', content: guestScript },
      { path: first, permissions: '0600', content: prepareText(baseFolder(user), 'template') },
    ],
    runcmd: [['sh', '-c', start]],
  };
  return `#cloud-config\n${JSON.stringify(config)}\n`;
}
