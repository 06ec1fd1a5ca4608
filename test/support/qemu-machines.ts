import { randomBytes } from 'node:crypto';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { connect } from '../../src/guest/connection.ts';
import type { OpensshKeyPair } from '../../src/guest/openssh-key.ts';
import type { Subject } from '../../src/providers/conformance/subject.ts';
import { createQemuProvider } from '../../src/providers/qemu/client.ts';
import type { QemuSettings } from '../../src/providers/qemu/settings.ts';
import type { CreateSpec, MachineView, OwnerTags, Provider, ProviderRef } from '../../src/providers/provider.ts';
import { signalProcess } from '../../src/host/process-identity.ts';
import { newKeys, until, type Keys } from './local-machines.ts';

/** A disk with a partition table and nothing else: there is nothing to boot. */
export function blankDisk(folder: string): string {
  const bytes = Buffer.alloc(1_048_576);
  bytes.writeUInt16BE(0x55aa, 510);
  const file = join(folder, 'blank.raw');
  writeFileSync(file, bytes);
  return file;
}

/** A disk whose boot sector goes on writing, 64 KiB at a time, from its second MiB to its end. */
export function writingDisk(folder: string): string {
  const file = blankDisk(folder);
  const bytes = readFileSync(file);
  const code = [
    '31c0 8ed8 8ed0 bc007c', // ds = ss = 0, sp = 0x7c00
    'be1f7c b443 30c0 cd13', // again: BIOS, write what is said at 0x7c1f
    '8106277c8000 8316297c00 ebea', // 128 sectors further, and again
    '1000 8000 00000010 0008000000000000', // 128 sectors of memory at 0x10000, to sector 2048
  ];
  bytes.set(Buffer.from(code.join('').replaceAll(' ', ''), 'hex'));
  const writing = join(folder, 'writing.raw');
  writeFileSync(writing, bytes);
  return writing;
}

export interface QemuBench {
  readonly folder: string;
  readonly provider: Provider;
  readonly again: () => Provider;
  readonly installation: string;
  readonly keys: Keys;
  readonly signal: (ms?: number) => AbortSignal;
  readonly spec: (hostname: string, more?: Partial<CreateSpec>) => CreateSpec;
  readonly tags: (key: string) => OwnerTags;
  readonly make: (
    key?: string,
    more?: Partial<CreateSpec>,
  ) => Promise<{ readonly key: string; readonly ref: ProviderRef }>;
  readonly seen: (ref: ProviderRef, state: MachineView['state'], withinMs?: number) => Promise<MachineView>;
  /** Runs it by SSH with the pinned key, as soon as the guest lets us in. */
  readonly sh: (ref: ProviderRef, text: string, keys?: Keys) => Promise<string>;
  readonly pidOf: (ref: ProviderRef) => number;
  readonly destroyed: (ref: ProviderRef) => Promise<void>;
  /** Processes, folders and whatever else there is of machines. */
  readonly remains: () => Promise<readonly string[]>;
  readonly subject: () => Subject;
  readonly close: () => Promise<void>;
}

/** A guest that boots without an accelerator, on a busy computer. */
const bootWithinMs = 600_000;

/** The `qemu` provider in a folder of its own. */
export function qemuBench(
  settings: QemuSettings,
  variant: Readonly<Record<string, unknown>>,
  parent = tmpdir(),
): QemuBench {
  const root = mkdtempSync(join(parent, 'slipway-qemu-'));
  const folder = join(root, 'qemu');
  const installation = randomBytes(8).toString('hex');
  const keys = newKeys();
  const clients: Provider[] = [];
  const again = (): Provider => {
    const client = createQemuProvider({ name: 'qemu', folder, installation, settings });
    clients.push(client);
    return client;
  };
  const provider = again();
  const machines = join(folder, 'm');
  const bench: QemuBench = {
    folder,
    provider,
    again,
    installation,
    keys,
    signal: (ms = bootWithinMs) => AbortSignal.timeout(ms),
    spec: (hostname, more = {}) => ({
      hostname,
      variant,
      hostKey: keys.hostKey.privateKey,
      authorizedKeys: [keys.clientKey.publicKey],
      ...more,
    }),
    tags: (key) => ({
      'slipway-installation': installation,
      'slipway-machine': `${key}.1`,
      'slipway-lease': key,
      'slipway-key': key,
    }),
    async make(key = `vm-${randomBytes(4).toString('hex')}`, more = {}) {
      const ref = await provider.create(key, bench.spec(key, more), bench.tags(key), bench.signal());
      return { key, ref };
    },
    async seen(ref, state, withinMs = bootWithinMs) {
      let last = '';
      return until(
        async () => {
          const view = await provider.get(ref, bench.signal());
          last = JSON.stringify(view);
          return view.state === state ? view : undefined;
        },
        () => `a machine is ${last}, not ${state}`,
        withinMs,
      );
    },
    async sh(ref, text, use = keys) {
      const { access } = await bench.seen(ref, 'running');
      if (!access) throw new Error('a running machine without a way in');
      return answerOf(access, use.hostKey, use.clientKey, text);
    },
    pidOf: (ref) => Number(readFileSync(join(machines, ref['machine'] ?? '', 'pid'), 'utf8')),
    async destroyed(ref) {
      await provider.destroy(ref, bench.signal());
      await bench.seen(ref, 'absent');
    },
    async remains() {
      const folders = existsSync(machines) ? readdirSync(machines) : [];
      return [...folders, ...processesIn(folder)];
    },
    subject: () => ({ provider, again, installation, spec: bench.spec, remains: bench.remains, withinMs: 30_000 }),
    async close() {
      for (const { ref } of await provider.list(installation, bench.signal())) await bench.destroyed(ref);
      for (const client of clients) await client.close();
      // A template may be booting still, for whoever asks next.
      for (const line of processesIn(folder)) signalProcess(Number(line.split(' ')[0]), 'SIGKILL');
      rmSync(root, { recursive: true, force: true });
    },
  };
  return bench;
}

async function answerOf(
  access: NonNullable<MachineView['access']>,
  hostKey: OpensshKeyPair,
  clientKey: OpensshKeyPair,
  text: string,
): Promise<string> {
  const at = { ...access, id: 'vm', name: 'vm', hostKey: access.hostKey ?? hostKey.publicKey };
  // slirp takes connections before the guest lives: each try has its own patience, which grows.
  let patienceMs = 600;
  const connection = await until(
    async () => {
      patienceMs = Math.min(patienceMs * 1.5, 15_000);
      return connect(at, clientKey.privateKey, 5_000, AbortSignal.timeout(Math.round(patienceMs))).catch(
        (error: unknown) => {
          if (error instanceof Error && error.message.includes('host key')) throw error;
          return undefined;
        },
      );
    },
    () => 'no login',
    bootWithinMs,
  );
  try {
    const { stdin, stdout, stderr, done } = await connection.exec('sh');
    stdin.end(text);
    let said = '';
    stdout.on('data', (chunk: Buffer) => (said += chunk.toString()));
    stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
    await done;
    return said;
  } finally {
    connection.close();
  }
}

/** Of QEMUs that have something in this folder open by name. */
export function processesIn(folder: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .flatMap((pid) => {
      try {
        const text = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return text.includes(folder) ? [`${pid} ${text.slice(0, 80)}`] : [];
      } catch {
        return [];
      }
    });
}
