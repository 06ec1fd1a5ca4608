import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, inject } from 'vitest';
import type { LeaseView } from '../../src/contract/http.ts';
import type { QemuSettings } from '../../src/providers/qemu/settings.ts';
import { startTestStack, type StackOptions, type TestStack } from './stack.ts';

/** The one size of machines that are clones: each other one would boot a template of its own. */
export const vmSize = { cores: 2, memoryMb: 512 } as const;

/** Tests of these are skipped where there is none. */
function common() {
  const vms = inject('vms');
  if (!vms) throw new Error('there is no image of the tests');
  return vms;
}

/** The image as one whose machines are clones (`debian`), and as one whose machines boot (`cold`). */
export function vmSettings(): QemuSettings {
  const { image } = common();
  return { accelerator: 'tcg', images: { debian: { ...image, warm: true }, cold: image } };
}

/** Templates of the run in place of a provider's own, before it has any. */
export function shareTemplates(providerFolder: string): void {
  mkdirSync(providerFolder, { recursive: true, mode: 0o700 });
  symlinkSync(common().templates, join(providerFolder, 't'));
}

/** A stack with the provider `qemu` of real machines. */
export async function startVmStack({
  settings,
  ...options
}: Omit<StackOptions, 'settings'> & { readonly settings?: Readonly<Record<string, unknown>> }): Promise<TestStack> {
  // JSON is YAML.
  const text = JSON.stringify({ ...settings, providers: { qemu: { type: 'qemu', ...vmSettings() } } });
  const stack = await startTestStack({ patienceMs: 300_000, ...options, settings: text });
  shareTemplates(join(stack.state, 'qemu', 'qemu'));
  return stack;
}

const shownBytes = 4_000;

/** After a test that has failed, on stderr: the last words of machines and templates below a folder. */
export function tellConsoles(folderOf: () => string, more: () => Promise<string> = async () => ''): void {
  afterEach(async ({ task }) => {
    if (task.result?.state !== 'fail') return;
    const there = consolesIn(folderOf()).map(([at, text]) => `--- console of ${at}:\n${text.slice(-shownBytes)}\n`);
    process.stderr.write([`${task.name}:\n`, ...there, await more()].join(''));
  });
}

function consolesIn(providerFolder: string): readonly (readonly [string, string])[] {
  return ['m', 't'].flatMap((kind) => {
    const folder = join(providerFolder, kind);
    return (existsSync(folder) ? readdirSync(folder) : []).flatMap((id) => {
      const file = join(folder, id, 'console');
      return existsSync(file) ? [[`${kind}/${id}`, readFileSync(file, 'latin1')] as const] : [];
    });
  });
}

/** Also of machines that leases have given up, with the reason. */
export function tellVmStack(stackOf: () => TestStack): void {
  const givenUp = async (): Promise<string> => {
    const stack = stackOf();
    let text = '';
    for (const { leaseId } of await stack.json<readonly Pick<LeaseView, 'leaseId'>[]>('/v1/leases')) {
      const { state, reason, attempts } = await stack.get(leaseId);
      text += `--- lease ${leaseId}: ${state} ${JSON.stringify(reason)}\n`;
      for (const { machineId, reason, evidence = [] } of attempts) {
        text += `--- machine ${machineId}: ${JSON.stringify(reason)}\n`;
        for (const { what, generation } of evidence.filter(({ what }) => what !== 'step')) {
          const answer = await stack.call(`/v1/machines/${machineId}/evidence/${what}?generation=${generation}`);
          text += `--- its ${what}:\n${(await answer.text()).slice(-shownBytes)}\n`;
        }
      }
    }
    return text;
  };
  tellConsoles(() => join(stackOf().state, 'qemu', 'qemu'), givenUp);
}
