import { mkdtemp, rm, writeFile, mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { ImageSettings } from '../src/providers/qemu/settings.ts';
import { newKeys } from '../test/support/local-machines.ts';
import { awaitLease, createLease, release, timed } from './measure.ts';
import { runProgram, type BenchStack } from './stack.ts';
import { Samples } from './samples.ts';
import type { Row } from './stats.ts';

const coldRounds = 3;
const warmRounds = 10;
const size = { cores: 2, memoryMb: 512 } as const;

/** The bundles and the provider of this section, as YAML. */
export const vmBundles = {
  'vm-cold': bundle('cold'),
  'vm-warm': bundle('warm'),
} as const;
export const vmProvider = (image: ImageSettings): string =>
  `  qemu: ${JSON.stringify({ type: 'qemu', accelerator: 'tcg', images: { cold: image, warm: { ...image, warm: true } } })}\n`;

function bundle(image: string): string {
  const variant = JSON.stringify({ provider: 'qemu', image, ...size });
  return `variants: [${variant}]\nreadyWithinMs: 20m\nprovisionWithinMs: 15m\nloadWithinMs: 15m\naccessWithinMs: 15m\n`;
}

/**
 * Real machines: request → ready of one that boots, beside the same image driven by hand (QEMU, and ssh in a shell loop), one
 * after the other; and of a clone of a booted one.
 */
export async function vms(stack: BenchStack, image: ImageSettings): Promise<readonly Row[]> {
  const samples = new Samples();
  const leased = async (name: string, leaseId: string): Promise<void> => {
    samples.add(name, await timed(() => ready(stack, leaseId, `vm-${name}`)));
    await release(stack, leaseId);
  };
  for (let n = 0; n < coldRounds; n += 1) {
    samples.add('hand', await byHand(image));
    await leased('cold', `vm-cold-${n}`);
  }
  // Boots the template.
  await ready(stack, 'vm-template', 'vm-warm');
  await release(stack, 'vm-template');
  for (let n = 0; n < warmRounds; n += 1) await leased('warm', `vm-warm-${n}`);
  const hand = samples.of('hand');
  const ratios = samples.of('cold').map((ms, n) => ms / (hand[n] ?? Number.NaN));
  return [
    { name: 'real VM, by hand: QEMU and ssh in a loop', unit: 's', samples: hand.map(inSeconds) },
    { name: 'real VM, request → ready, cold', unit: 's', samples: samples.of('cold').map(inSeconds) },
    { name: 'real VM, cold, by slipway / by hand', unit: '×', samples: ratios, budget: 1.15 },
    { name: 'real VM, request → ready, clone', unit: 's', samples: samples.of('warm').map(inSeconds), budget: 2 },
  ];
}

const inSeconds = (ms: number): number => ms / 1_000;

async function ready(stack: BenchStack, leaseId: string, bundle: string): Promise<void> {
  await createLease(stack, { leaseId, bundle });
  let status = await awaitLease(stack, leaseId, 'ready');
  // The API answers a wait after a minute; a template takes longer to be made.
  while (status.state === 'acquiring') status = await awaitLease(stack, leaseId, 'ready');
  const { state, reason } = status;
  if (state !== 'ready') throw new Error(`${leaseId} is ${state}: ${reason?.message ?? ''}`);
}

/** @returns ms from nothing to the first command by ssh */
async function byHand(image: ImageSettings): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-bench-vm-'));
  try {
    const { hostKey, clientKey } = newKeys();
    await mkdir(join(folder, 'seed'));
    const config = {
      ssh_deletekeys: true,
      ssh_keys: { ed25519_private: hostKey.privateKey, ed25519_public: hostKey.publicKey },
      ssh_authorized_keys: [clientKey.publicKey],
    };
    await writeFile(join(folder, 'seed', 'user-data'), `#cloud-config\n${JSON.stringify(config)}\n`);
    await writeFile(join(folder, 'seed', 'meta-data'), 'instance-id: by-hand\n');
    await writeFile(join(folder, 'seed', 'vendor-data'), '');
    await writeFile(join(folder, 'key'), clientKey.privateKey, { mode: 0o600 });
    await writeFile(join(folder, 'known'), `[127.0.0.1]:19022 ${hostKey.publicKey}\n`);
    const env = {
      FOLDER: folder,
      IMAGE: image.file ?? '',
      KERNEL: image.kernel ?? '',
      INITRD: image.initrd ?? '',
      APPEND: image.append ?? '',
      CORES: String(size.cores),
      MEMORY: String(size.memoryMb),
    };
    return await timed(() => runProgram('bash', [resolve('bench/vm-by-hand.sh')], env));
  } finally {
    await runProgram('bash', ['-c', 'kill -9 "$(cat "$0/pid")" 2>/dev/null || true', folder]);
    await rm(folder, { recursive: true, force: true });
  }
}
