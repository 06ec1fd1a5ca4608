import { mkdir, statfs } from 'node:fs/promises';
import { DomainError } from '../../domain/failure.ts';
import type { CheckItem, ProviderCheck } from '../provider.ts';
import { knownAccelerator, probedAnew } from './accelerator.ts';
import type { ImageStore } from './images.ts';
import type { QemuPaths } from './paths.ts';
import { programVersion } from './process.ts';
import { howToGet, isHere, programs } from './programs.ts';
import { loadRecords } from './record.ts';
import type { QemuSettings } from './settings.ts';
import type { Use } from './variant.ts';

export interface CheckOptions {
  readonly provider: string;
  readonly paths: QemuPaths;
  readonly settings: QemuSettings;
  readonly limits: Use & { readonly machines: number };
  readonly images: ImageStore;
  /** What templates take that boot. */
  readonly booting: () => Promise<readonly Use[]>;
}

const mib = 1_048_576;
const gib = 1_073_741_824;
const lowDiskBytes = 5 * gib;

/**
 * What machines need, each with what is there or how to get it.
 * @param quick the accelerator is not proven anew
 */
export async function checkQemu(options: CheckOptions, quick: boolean, signal: AbortSignal): Promise<ProviderCheck> {
  const { provider, paths, settings, limits, images, booting } = options;
  const found = await Promise.all(programs.map(programItem));
  if (!found.every(({ ok }) => ok)) return { ok: false, summary: 'QEMU is not here', items: found };
  await mkdir(paths.folder, { recursive: true, mode: 0o700 });
  const proven = await (quick ? knownAccelerator : probedAnew)(paths, process.arch);
  const accelerator = settings.accelerator ?? proven.accelerator;
  const all = await loadRecords(paths);
  const used = { cores: 0, memoryMb: 0 };
  const templates = await booting();
  for (const { cores, memoryMb } of [...all.map(({ wanted }) => wanted), ...templates]) {
    used.cores += cores;
    used.memoryMb += memoryMb;
  }
  const { bavail, bsize } = await statfs(paths.folder);
  const freeBytes = bavail * bsize;
  const items: readonly CheckItem[] = [
    ...found,
    acceleratorItem(accelerator, settings, proven),
    {
      name: 'memory',
      ok: used.memoryMb < limits.memoryMb,
      text: `${used.memoryMb} of ${limits.memoryMb} MiB are in use (providers.${provider}.memoryMb)`,
    },
    {
      name: 'cores',
      ok: used.cores < limits.cores,
      text: `${used.cores} of ${limits.cores} are in use (providers.${provider}.cores)`,
    },
    {
      name: 'disk',
      ok: freeBytes > lowDiskBytes,
      text: `${(freeBytes / gib).toFixed(1)} GiB are free in ${paths.folder}`,
    },
    ...(await imageItems(options, signal)),
  ];
  const names = (await images.list()).length;
  return {
    ok: items.every(({ ok }) => ok),
    summary: `${accelerator === 'tcg' ? 'translated, without an accelerator' : accelerator}; ${names} images, ${all.length} machines${templates.length === 0 ? '' : `, ${templates.length} templates boot`}`,
    items,
  };
}

async function programItem(program: string): Promise<CheckItem> {
  const version = isHere(program) ? await programVersion(program) : undefined;
  return version === undefined
    ? { name: program, ok: false, text: `is not there: ${howToGet(program)}` }
    : { name: program, ok: true, text: version };
}

function acceleratorItem(
  accelerator: string,
  settings: QemuSettings,
  found: { readonly accelerator: string; readonly why: string },
): CheckItem {
  const forced = settings.accelerator !== undefined;
  return {
    name: 'accelerator',
    // One that is asked for and does not work is a mistake; none at all is only slow.
    ok: !forced || accelerator === 'tcg' || accelerator === found.accelerator,
    text: `${accelerator}${forced ? ', as slipway.yaml says' : ''} (${found.why})`,
  };
}

async function imageItems({ provider, settings, images }: CheckOptions, signal: AbortSignal): Promise<CheckItem[]> {
  const items: CheckItem[] = [];
  for (const { name, sizeBytes, source } of await images.list()) {
    const image = settings.images[name];
    const is = `image ${name}`;
    if (source === 'configured' && image?.url !== undefined && sizeBytes === 0) {
      items.push({ name: is, ok: true, text: `is fetched with the first machine, from ${image.url}` });
      continue;
    }
    try {
      const { format, file } = await images.ready(name, signal);
      items.push({ name: is, ok: true, text: `${format}, ${Math.ceil(sizeBytes / mib)} MiB: ${file}` });
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof DomainError)) throw error;
      items.push({ name: is, ok: false, text: [error.message, error.hint].filter(Boolean).join(' ') });
    }
  }
  if (items.length > 0) return items;
  return [{ name: 'images', ok: false, text: `there are none: name one under providers.${provider}.images` }];
}
