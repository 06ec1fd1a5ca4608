import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import type { ImageSettings } from '../../src/providers/qemu/settings.ts';
import { isRoot } from './local-machines.ts';
import { sayProgress } from './say.ts';

const run = promisify(execFile);
/** In the package's folder, where tests and the compiled bench are started. */
const script = resolve('scripts/vm-image.sh');
const packages = { 'qemu-system-x86_64': 'qemu-system-x86', 'qemu-img': 'qemu-utils', mmdebstrap: 'mmdebstrap' };

function lacking(...programs: readonly (keyof typeof packages)[]): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(':');
  const missing = programs.filter((name) => !folders.some((folder) => existsSync(join(folder, name))));
  if (missing.length === 0) return undefined;
  return `apt-get install ${missing.map((name) => packages[name]).join(' ')}`;
}

/** Says loudly why tests are skipped; where nothing may be skipped it throws. */
function skipped(what: string, why: string | undefined): boolean {
  if (why === undefined) return false;
  const text = `SKIPPED: ${what}. ${why}`;
  if (process.env['NO_TEST_SKIP'] === '1') throw new Error(text);
  process.stderr.write(`${text}\n`);
  return true;
}

/** For `describe.skipIf`: machines without a system need QEMU only. */
export const withoutQemu = (): boolean => skipped('tests with QEMU', lacking('qemu-system-x86_64', 'qemu-img'));

/** For `describe.skipIf`: of real VMs, whose image root builds. */
export function withoutVms(): boolean {
  // Whose run it is decides, as with the tier of `local`: nothing is missing.
  if (!isRoot) return true;
  return skipped('tests on real VMs', lacking('qemu-system-x86_64', 'qemu-img', 'mmdebstrap'));
}

/** The image that the tests boot, built once for each version of the script. */
export async function testImage(): Promise<ImageSettings> {
  sayProgress()({ text: 'the image of the tests (built once, minutes)' });
  const { stdout } = await run('bash', [script], { maxBuffer: 16_777_216 });
  const folder = stdout.trim();
  return {
    file: join(folder, 'disk.raw'),
    kernel: join(folder, 'kernel'),
    initrd: join(folder, 'initrd'),
    // Without an accelerator code is translated anew wherever else it lies.
    append: 'console=ttyS0 net.ifnames=0 mitigations=off norandmaps quiet panic=-1',
  };
}
