import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DomainError } from '../../domain/failure.ts';
import { abortable } from '../../guest/abortable.ts';
import { replaceFile } from '../../host/atomic-file.ts';
import { takeLock } from '../../host/lock.ts';
import type { ImageView } from '../provider.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { endCapture } from './capture.ts';
import { fetchFile, verifyFile, type Digest } from './image-fetch.ts';
import { diskFormat, type DiskFormat } from './image-format.ts';
import { alone } from './locked.ts';
import type { QemuPaths } from './paths.ts';
import type { ImageSettings, QemuSettings } from './settings.ts';

/** An image that lies on this host, whole. */
export interface ReadyImage extends DiskFormat {
  readonly name: string;
  readonly file: string;
  readonly settings: ImageSettings;
  /** Other for other bytes. */
  readonly identity: string;
}

interface Captured {
  /** Id and generation of the machine that it was taken of. */
  readonly of: string;
  readonly createdAt: string;
  /** How it is booted, and who logs in: as the image that its machine was made from. */
  readonly settings: Pick<ImageSettings, 'kernel' | 'initrd' | 'append' | 'firmware' | 'user' | 'warm'>;
}

export interface ImageStore {
  /**
   * Fetches it where need be; who waits for the same one waits for one fetch, which goes on when they do not.
   * @throws DomainError InvalidRequest for what is no image of that name, CapacityUnavailable, ProviderUnavailable
   */
  ready(name: string, signal: AbortSignal): Promise<ReadyImage>;
  /** Configured and captured ones; those that are not on this host yet have no size. */
  list(): Promise<readonly ImageView[]>;
  /** Takes a new one. `take` writes a whole disk to the path that it is given. @throws DomainError IdConflict */
  capture(
    name: string,
    of: Captured['of'],
    settings: ImageSettings,
    take: (file: string, signal: AbortSignal) => Promise<void>,
  ): Promise<ImageView>;
  remove(name: string): Promise<void>;
  /** Clears away what captures and removals have left whose process died. */
  tend(signal: AbortSignal): Promise<void>;
  close(): void;
}

const imageName = /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/;

export function createImages(provider: string, paths: QemuPaths, settings: QemuSettings): ImageStore {
  const captureLock = join(paths.locks, 'capture');
  const fetching = new Map<string, Promise<void>>();
  const closing = new AbortController();
  /** Digests that were proven by this process: of a path with this stamp. */
  const proven = new Set<string>();
  const configured = (name: string): ImageSettings | undefined =>
    Object.hasOwn(settings.images, name) ? settings.images[name] : undefined;
  const capturedFolder = (name: string): string => join(paths.captured, name);

  /** Alone: what others are making is none of it. */
  async function clear(signal: AbortSignal): Promise<void> {
    for (const part of (await readdir(paths.captured).catch(noneIfMissing)) ?? []) {
      if (!part.startsWith('.')) continue;
      const of = await readFile(join(paths.captured, part, 'of'), 'utf8').catch(noneIfMissing);
      if (of !== undefined) await endCapture(paths, of.split('.')[0] ?? '', signal);
      await rm(join(paths.captured, part), { recursive: true, force: true });
    }
  }

  async function captured(name: string): Promise<Captured | undefined> {
    if (!imageName.test(name)) return undefined;
    const text = await readFile(join(capturedFolder(name), 'image.json'), 'utf8').catch(noneIfMissing);
    return text === undefined ? undefined : (JSON.parse(text) as Captured);
  }

  const digestOf = ({ sha256, sha512 }: ImageSettings): Digest | undefined =>
    sha256 !== undefined
      ? { algorithm: 'sha256', hex: sha256 }
      : sha512 !== undefined
        ? { algorithm: 'sha512', hex: sha512 }
        : undefined;

  const fetchedFile = ({ hex }: Digest): string => join(paths.fetched, `${hex.slice(0, 40)}.img`);

  async function fetched(name: string, url: string, digest: Digest, signal: AbortSignal): Promise<string> {
    const file = fetchedFile(digest);
    if (await stat(file).catch(noneIfMissing)) return file;
    let going = fetching.get(file);
    if (!going) {
      const until = closing.signal;
      going = alone(join(paths.locks, 'fetch'), until, async () => {
        if (await stat(file).catch(noneIfMissing)) return;
        await fetchFile(name, url, digest, file, until);
      }).finally(() => fetching.delete(file));
      going.catch(() => undefined); // whoever waits hears of it
      fetching.set(file, going);
    }
    await abortable(going, signal);
    return file;
  }

  async function fileOf(name: string, image: ImageSettings, signal: AbortSignal): Promise<string> {
    const digest = digestOf(image);
    if (image.url !== undefined && digest) return fetched(name, image.url, digest, signal);
    const file = image.file ?? '';
    if (digest) {
      const stamp = `${await stampOf(file)} ${digest.hex}`;
      if (!proven.has(stamp)) await verifyFile(name, file, digest);
      proven.add(stamp);
    }
    return file;
  }

  const view = async (name: string): Promise<ImageView | undefined> => {
    const image = configured(name);
    if (image) {
      const digest = digestOf(image);
      const file = image.url !== undefined && digest ? fetchedFile(digest) : (image.file ?? '');
      const { sha256 } = image;
      const found = await stat(file).catch(noneIfMissing);
      return { name, sizeBytes: found?.size ?? 0, source: 'configured', ...(sha256 === undefined ? {} : { sha256 }) };
    }
    const own = await captured(name);
    if (!own) return undefined;
    const { size } = await stat(join(capturedFolder(name), 'disk.qcow2'));
    return { name, sizeBytes: size, source: 'captured', createdAt: own.createdAt };
  };

  return {
    async ready(name, signal) {
      signal.throwIfAborted();
      const image = configured(name);
      const own = image ? undefined : await captured(name);
      if (!image && !own) {
        const known = [
          ...Object.keys(settings.images),
          ...((await readdir(paths.captured).catch(noneIfMissing)) ?? []),
        ];
        throw new DomainError('InvalidRequest', `Provider ${provider} has no image ${JSON.stringify(name)}.`, {
          hint:
            known.length === 0 ? `providers.${provider}.images in slipway.yaml has none` : `it has ${known.join(', ')}`,
        });
      }
      const file = image ? await fileOf(name, image, signal) : join(capturedFolder(name), 'disk.qcow2');
      const form = await diskFormat(file, name, image?.url !== undefined);
      return { name, file, settings: image ?? own?.settings ?? {}, identity: await stampOf(file), ...form };
    },

    async list() {
      const names = (await readdir(paths.captured).catch(noneIfMissing)) ?? [];
      const all = new Set([...Object.keys(settings.images), ...names.filter((name) => imageName.test(name))]);
      return (await Promise.all([...all].map(view))).filter((each) => each !== undefined);
    },

    async capture(name, of, { kernel, initrd, append, firmware, user, warm }, take) {
      if (!imageName.test(name))
        throw new DomainError('InvalidRequest', `${JSON.stringify(name)} is no name for an image.`, {
          hint: 'Letters, digits, dot, underscore and hyphen, at most 63.',
        });
      return alone(captureLock, closing.signal, async () => {
        const before = await captured(name);
        if (configured(name) || (before && before.of !== of))
          throw new DomainError('IdConflict', `Provider ${provider} has another image ${name}.`);
        if (!before) {
          const part = join(paths.captured, `.new-${name}`);
          try {
            await rm(part, { recursive: true, force: true });
            await mkdir(part, { recursive: true, mode: 0o700 });
            await writeFile(join(part, 'of'), of, { mode: 0o600 });
            await take(join(part, 'disk.qcow2'), closing.signal);
            const given = Object.entries({ kernel, initrd, append, firmware, user, warm }).filter(
              ([, text]) => text !== undefined,
            );
            const own: Captured = {
              of,
              createdAt: new Date().toISOString(),
              settings: Object.fromEntries(given),
            };
            await replaceFile(join(part, 'image.json'), `${JSON.stringify(own)}\n`);
            await rm(join(part, 'of'));
            await rename(part, capturedFolder(name));
          } catch (error) {
            await rm(part, { recursive: true, force: true });
            throw error;
          }
        }
        const made = await view(name);
        if (!made) throw new DomainError('ProviderUnavailable', `Image ${name} was removed while it was taken.`);
        return made;
      });
    },

    async remove(name) {
      if (configured(name))
        throw new DomainError('InvalidRequest', `Image ${name} is one of slipway.yaml: it is removed there.`);
      if (!imageName.test(name)) return;
      // At once: half an image is none.
      const aside = join(paths.captured, `.gone-${name}`);
      await rm(aside, { recursive: true, force: true });
      await rename(capturedFolder(name), aside).catch(noneIfMissing);
      await rm(aside, { recursive: true, force: true });
    },

    async tend(signal) {
      const names = (await readdir(paths.captured).catch(noneIfMissing)) ?? [];
      if (!names.some((name) => name.startsWith('.'))) return;
      const taken = await takeLock(captureLock);
      if (!taken.held) return;
      try {
        await clear(signal);
      } finally {
        await taken.release();
      }
    },

    close: () => closing.abort(new DomainError('ProviderUnavailable', `Provider ${provider} is closed.`)),
  };
}

/** Other for other bytes, as long as nobody means to deceive. */
async function stampOf(file: string): Promise<string> {
  const found = await stat(file, { bigint: true }).catch(noneIfMissing);
  const text = found ? `${file} ${found.ino} ${found.size} ${found.mtimeNs}` : file;
  return createHash('sha256').update(text).digest('hex').slice(0, 32);
}
