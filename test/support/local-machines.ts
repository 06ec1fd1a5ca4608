import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  closeSync,
  openSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { opensshKeyPair, type OpensshKeyPair } from '../../src/guest/openssh-key.ts';
import type { Subject } from '../../src/providers/conformance/subject.ts';
import { withFaults } from '../../src/providers/faults/faulty-provider.ts';
import { createLocalProvider } from '../../src/providers/local/client.ts';
import type { Knobs } from '../../src/providers/local/knobs.ts';
import { processStart } from '../../src/host/process-identity.ts';
import type { PidFile } from '../../src/providers/local/protocol.ts';
import type { CreateSpec, MachineView, OwnerTags, Provider, ProviderRef } from '../../src/providers/provider.ts';
import { turnFaults, type Faults } from './faults.ts';
import { turnKnobs } from './local-knobs.ts';

export const isRoot = process.getuid?.() === 0;

/** One machine and the way in, with the real `ssh`. */
export interface TestMachine {
  readonly key: string;
  readonly ref: ProviderRef;
  readonly access: NonNullable<MachineView['access']>;
  /** Arguments of ssh(1) up to the command. */
  readonly sshArgs: readonly string[];
  ssh(command: string, input?: string): Promise<Answer>;
}

export interface Answer {
  /** 255 is ssh's own. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Keys {
  readonly hostKey: OpensshKeyPair;
  readonly clientKey: OpensshKeyPair;
}

export const newKeys = (): Keys => ({
  hostKey: opensshKeyPair(randomBytes(32), 'host'),
  clientKey: opensshKeyPair(randomBytes(32), 'client'),
});

/** The `local` provider of a state folder of its own. */
export interface LocalBench {
  readonly folder: string;
  readonly provider: Provider;
  readonly installation: string;
  readonly hostKey: OpensshKeyPair;
  readonly clientKey: OpensshKeyPair;
  readonly signal: () => AbortSignal;
  readonly spec: (hostname: string, variant?: Readonly<Record<string, unknown>>) => CreateSpec;
  readonly tags: (machineId: string, key: string) => OwnerTags;
  readonly knobs: (knobs: Knobs) => void;
  /** What goes wrong with calls from now on; none: nothing. */
  readonly faults: (...rules: Faults[string]) => void;
  readonly again: () => Provider;
  readonly make: (machineId?: string, variant?: Readonly<Record<string, unknown>>) => Promise<TestMachine>;
  /** @param keys of its generation; those of the bench when absent */
  readonly way: (key: string, ref: ProviderRef, keys?: Keys) => Promise<TestMachine>;
  readonly destroyed: (ref: ProviderRef) => Promise<void>;
  readonly seen: (ref: ProviderRef, state: MachineView['state']) => Promise<MachineView>;
  /** What `run/local.json` says, when the process lives. */
  readonly process: () => PidFile | undefined;
  /** kill -9, and seen dead. */
  readonly kill: () => Promise<void>;
  /** After that, and the start of another: the client may learn only by its next call that the process has ended. */
  readonly noticed: (ref: ProviderRef) => Promise<void>;
  /** Processes, mounts, ports and folders of machines. */
  readonly remains: () => Promise<readonly string[]>;
  readonly close: () => Promise<void>;
  /** For the conformance kit. */
  readonly subject: () => Subject;
}

/** @param parent of the state folder @param owner uid of the provider's process, which `startAs` must start then */
export function localBench(knobs: Knobs = {}, parent = tmpdir(), owner?: number): LocalBench {
  const root = mkdtempSync(join(parent, 'slipway-local-'));
  const folder = join(root, '.slipway', 'local');
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const installation = randomBytes(8).toString('hex');
  const { hostKey, clientKey } = newKeys();
  const idle: Knobs = { idleMs: 500 };
  const turn = (now: Knobs): void => {
    turnKnobs(folder, { ...idle, ...now });
    if (owner === undefined) return;
    for (const path of [root, dirname(folder), folder, join(folder, 'knobs.json')]) chownSync(path, owner, owner);
  };
  turn(knobs);
  const options = { path: join(dirname(folder), 'faults.json'), providers: ['local'] };
  const clients: Provider[] = [];
  const again = (): Provider => {
    // As the registry gives it.
    const client = withFaults(createLocalProvider({ folder, installation }), options);
    clients.push(client);
    return client;
  };
  const provider = again();
  const signal = (): AbortSignal => AbortSignal.timeout(30_000);
  let count = 0;

  const bench: LocalBench = {
    folder,
    provider,
    installation,
    hostKey,
    clientKey,
    signal,
    again,
    spec: (hostname, variant = {}) => ({
      hostname,
      variant,
      hostKey: hostKey.privateKey,
      authorizedKeys: [clientKey.publicKey],
    }),
    tags: (machineId, key) => ({
      'slipway-installation': installation,
      'slipway-machine': machineId,
      'slipway-lease': machineId.split('.')[0] ?? machineId,
      'slipway-key': key,
    }),
    knobs: turn,
    faults: (...rules) => turnFaults(dirname(folder), { local: rules }),
    async make(machineId, variant) {
      count += 1;
      const id = machineId ?? `box${count}.1`;
      const key = randomBytes(20).toString('hex');
      const spec = bench.spec(id.replaceAll('.', '-'), variant);
      const ref = await provider.create(key, spec, bench.tags(id, key), signal());
      return bench.way(key, ref);
    },
    async way(key, ref, keys = { hostKey, clientKey }) {
      const { access } = await bench.seen(ref, 'running');
      if (!access) throw new Error('a running machine without a way in');
      // Of one generation: another may be tried beside it.
      const name = keys.hostKey.fingerprint.replaceAll(/[^A-Za-z0-9]/g, '');
      const known = join(root, `known-${name}`);
      writeFileSync(join(root, `key-${name}`), keys.clientKey.privateKey, { mode: 0o600 });
      writeFileSync(known, `[${access.address}]:${access.port} ${keys.hostKey.publicKey}\n`);
      const options = [`UserKnownHostsFile="${known}"`, 'StrictHostKeyChecking=yes', 'BatchMode=yes', 'LogLevel=ERROR'];
      const sshArgs = [
        '-F',
        'none',
        '-i',
        join(root, `key-${name}`),
        '-p',
        String(access.port),
        '-o',
        'IdentitiesOnly=yes',
        ...options.flatMap((option) => ['-o', option]),
        `${access.user}@${access.address}`,
      ];
      return { key, ref, access, sshArgs, ssh: (command, input) => run('ssh', [...sshArgs, command], input) };
    },
    async destroyed(ref) {
      await provider.destroy(ref, signal());
      await bench.seen(ref, 'absent');
    },
    async seen(ref, state) {
      let last = '';
      return until(
        async () => {
          const view = await provider.get(ref, signal());
          last = view.state;
          return view.state === state ? view : undefined;
        },
        () => `a machine is ${last}, not ${state}`,
      );
    },
    process() {
      const path = join(root, '.slipway', 'run', 'local.json');
      try {
        const file = JSON.parse(readFileSync(path, 'utf8')) as PidFile;
        return alive(file.pid) ? file : undefined;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
    },
    async kill() {
      const pid = bench.process()?.pid;
      if (pid === undefined) throw new Error('no process to kill');
      process.kill(pid, 'SIGKILL');
      await until(async () => !alive(pid) || undefined);
    },
    async noticed(ref) {
      await provider.get(ref, signal()).catch(() => undefined);
    },
    async remains() {
      const mounts = readFileSync('/proc/self/mountinfo', 'utf8')
        .split('\n')
        .filter((line) => line.includes(root));
      const folders = readdirSync(join(folder, 'machines'));
      const processes = processesNaming(join(folder, 'machines'));
      return [...mounts, ...folders, ...processes];
    },
    subject: () => ({
      provider,
      again,
      installation,
      spec: bench.spec,
      remains: bench.remains,
      guests: true,
      withinMs: 20_000,
    }),
    async close() {
      bench.faults();
      for (const { ref } of await provider.list(installation, signal()).catch(() => [])) await bench.destroyed(ref);
      for (const client of clients) await client.close();
      await until(async () => bench.process() === undefined || undefined);
      rmSync(root, { recursive: true, force: true });
    },
  };
  return bench;
}

/** Starts the provider's process as another user; the clients of the bench find it. */
export async function startAs(bench: LocalBench, uid: number | undefined): Promise<void> {
  const entry = fileURLToPath(new URL('../../dist/providers/local/main.js', import.meta.url));
  const log = openSync(join(bench.folder, 'process.log'), 'a');
  const child = spawn(process.execPath, [entry, bench.folder], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', log, log, 'pipe'],
    env: { PATH: '/usr/local/bin:/usr/bin:/bin' },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  closeSync(log);
  child.unref();
  const said = await new Promise<string>((resolve, reject) => {
    child.once('error', reject);
    child.stdio[3]?.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    child.once('exit', (code) => reject(new Error(`exit ${code}: see process.log in ${bench.folder}`)));
  });
  child.stdio[3]?.destroy();
  if (!said.includes('ready')) throw new Error(said);
}

export async function until<T>(
  look: () => Promise<T | undefined>,
  says: () => string = () => 'not seen',
  withinMs = 20_000,
): Promise<T> {
  const deadline = Date.now() + withinMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > deadline) throw new Error(`${says()} after ${withinMs} ms`);
    await pause(5);
  }
}

/** A zombie is dead. */
export const alive = (pid: number): boolean => processStart(pid) !== undefined;

function processesNaming(text: string): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid && alive(Number(name)))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text);
      } catch {
        return false;
      }
    });
}

export const canConnect = (address: string, port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, address, () => socket.destroy());
    socket.once('error', () => resolve(false));
    socket.once('close', (failed) => resolve(!failed));
  });

const execFileAsync = promisify(execFile);

export async function run(program: string, words: readonly string[], input = ''): Promise<Answer> {
  const going = execFileAsync(program, [...words], { encoding: 'utf8', timeout: 25_000, maxBuffer: 64 * 1_048_576 });
  going.child.stdin?.on('error', () => undefined).end(input);
  try {
    return { code: 0, ...(await going) };
  } catch (error) {
    const { code, stdout, stderr } = error as { code?: unknown; stdout?: string; stderr?: string };
    if (typeof code !== 'number') throw error;
    return { code, stdout: stdout ?? '', stderr: stderr ?? '' };
  }
}
