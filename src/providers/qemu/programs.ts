import { DomainError } from '../../domain/failure.ts';
import { findOnPath } from '../../host/find-on-path.ts';
import { qemuProgram } from './arguments.ts';
import { toolEnvironment } from './process.ts';

/** What a machine needs of this host. */
export const programs: readonly string[] = [qemuProgram(process.arch), 'qemu-img'];

/** Debian's packages; elsewhere they are called alike. */
const packages: Readonly<Record<string, string>> = {
  'qemu-system-x86_64': 'qemu-system-x86',
  'qemu-system-aarch64': 'qemu-system-arm',
  'qemu-img': 'qemu-utils',
};

export const isHere = (program: string): boolean => findOnPath(program, toolEnvironment.PATH) !== undefined;

/** A command that installs them. */
export const howToGet = (...missing: readonly string[]): string =>
  process.platform === 'darwin'
    ? 'brew install qemu'
    : `apt-get install ${missing.map((program) => packages[program] ?? 'qemu').join(' ')}`;

/**
 * Before anything is fetched or made for a machine; nothing is started to know it.
 * @throws DomainError ProviderLacking
 */
export function needPrograms(provider: string): void {
  const missing = programs.filter((program) => !isHere(program));
  if (missing.length === 0) return;
  const message = `Provider ${provider} makes no machines on this host: ${missing.join(' and ')} not found.`;
  throw new DomainError('ProviderLacking', message, { hint: howToGet(...missing) });
}
