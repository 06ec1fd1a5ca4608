import { mkdir, statfs } from 'node:fs/promises';
import { DomainError } from '../../domain/failure.ts';
import type { CheckItem, ProviderCheck } from '../provider.ts';
import { probedAnew } from './accelerator.ts';
import { qemuProgram } from './arguments.ts';
import type { ImageStore } from './images.ts';
import type { QemuPaths } from './paths.ts';
import { programVersion } from './process.ts';
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

/** Debian's packages; elsewhere they are called alike. */
const packages: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  'qemu-img': 'qemu-utils',
};
const howToGet = (program: string): string =>
  process.platform === 'darwin' ? 'brew install qemu' : `apt-get install ${packages[program] ?? 'qemu'}`;

/** What machines need, each with what is there or how to get it. The accelerator is proven anew. */
export async function checkQemu(options: CheckOptions, signal: AbortSignal): Promise<ProviderCheck> {
  const { provider, paths, settings, limits, images, booting } = options;
  const program = qemuProgram(process.arch);
  const programs = await Promise.all([program, 'qemu-img'].map(programItem));
  const there = programs.every(({ ok }) => ok);
  await mkdir(paths.folder, { recursive: true, mode: 0o700 });
  const found = there ? await probedAnew(paths, process.arch) : undefined;
  const accelerator = settings.accelerator ?? found?.accelerator;
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
    ...programs,
    ...(found && accelerator ? [acceleratorItem(accelerator, settings, found)] : []),
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
    ...(there ? await imageItems(options, signal) : []),
  ];
  const names = (await images.list()).length;
  return {
    ok: items.every(({ ok }) => ok),
    summary: there
      ? `${accelerator === 'tcg' ? 'translated, without an accelerator' : accelerator}; ${names} images, ${all.length} machines${templates.length === 0 ? '' : `, ${templates.length} templates boot`}`
      : 'QEMU is not here',
    items,
  };
}

async function programItem(program: string): Promise<CheckItem> {
  const version = await programVersion(program);
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
