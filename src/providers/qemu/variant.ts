import { z } from 'zod';
import { DomainError } from '../../domain/failure.ts';
import type { CreateSpec } from '../provider.ts';
import type { QemuSettings } from './settings.ts';

/** The provider's own part of a bundle's variant. */
const variant = z.strictObject({
  /** A name under `images` of the provider. */
  image: z.string().min(1),
  cores: z.int().min(1).max(256).default(1),
  memoryMb: z.int().min(64).max(1_048_576).default(1_024),
  /** Of its disk, which is as large as the image when absent. */
  diskGb: z.int().min(1).max(65_536).exactOptional(),
  /** Who logs in, where that is not the image's. */
  user: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}$/, 'must be a user name')
    .exactOptional(),
});

export type Wanted = z.output<typeof variant>;

/** @throws DomainError InvalidRequest */
export function checkSpec(provider: string, spec: CreateSpec): Wanted {
  const wrong = (text: string): DomainError =>
    new DomainError('InvalidRequest', `Provider ${provider} cannot make this machine: ${text}.`, {
      hint: 'A variant of qemu knows image, cores, memoryMb, diskGb and user.',
    });
  if (!/^[a-z0-9]([a-z0-9-]{0,62})$/.test(spec.hostname)) throw wrong(`host name ${JSON.stringify(spec.hostname)}`);
  const parsed = variant.safeParse(spec.variant);
  if (parsed.success) return parsed.data;
  throw wrong(parsed.error.issues.map((issue) => `${issue.path.join('.') || 'variant'}: ${issue.message}`).join('; '));
}

const gib = 1_073_741_824;

/** @throws DomainError InvalidRequest for a disk that would cut off the end of its image */
export function checkDisk({ image, diskGb }: Wanted, { sizeBytes }: { readonly sizeBytes: number }): void {
  if (diskGb === undefined || diskGb * gib >= sizeBytes) return;
  const least = Math.ceil(sizeBytes / gib);
  throw new DomainError('InvalidRequest', `diskGb ${diskGb} is less than image ${image} has: ${sizeBytes / gib} GiB.`, {
    hint: `diskGb ${least} or more, or none: then it is as large as the image.`,
  });
}

/** What a machine may cost at most where the settings do not say: all but a part of the host's memory, each core twice. */
export function limitsOf(
  settings: Pick<QemuSettings, 'cores' | 'memoryMb' | 'machines'>,
  host: { readonly cores: number; readonly memoryMb: number },
): { readonly cores: number; readonly memoryMb: number; readonly machines: number } {
  return {
    cores: settings.cores ?? host.cores * coresOvercommit,
    memoryMb: settings.memoryMb ?? Math.floor(host.memoryMb * memoryShare),
    machines: settings.machines ?? Infinity,
  };
}

const coresOvercommit = 2;
/** The rest is the host's own, and QEMU's beside the guests' memory. */
const memoryShare = 0.8;

export interface Use {
  readonly cores: number;
  readonly memoryMb: number;
}

/**
 * Pure: why one more does not fit beside those, or nothing.
 * @param others take of the host what machines do, and are none
 */
export function lacksRoom(
  wanted: Use,
  there: readonly Use[],
  limits: { readonly cores: number; readonly memoryMb: number; readonly machines: number },
  others: readonly Use[] = [],
): string | undefined {
  if (there.length + 1 > limits.machines) return `${there.length} of ${limits.machines} machines are there`;
  for (const [what, unit] of [
    ['memoryMb', ' MiB of memory'],
    ['cores', ' cores'],
  ] as const) {
    const used = [...there, ...others].reduce((sum, each) => sum + each[what], 0);
    if (used + wanted[what] > limits[what])
      return `${wanted[what]} more${unit} do not fit: ${used} of ${limits[what]} are in use`;
  }
  return undefined;
}
