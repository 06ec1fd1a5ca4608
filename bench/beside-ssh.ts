import { createWriteStream } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { awaitLease, createLease, follow, putTask, release, timed } from './measure.ts';
import { Samples } from './samples.ts';
import type { Row } from './stats.ts';
import { runProgram, type BenchStack } from './stack.ts';

const mib = 1024 * 1024;
const bigBytes = 256 * mib;
const bigRounds = 3;

/** A machine that slipway and ssh(1) use in turns. */
export interface Beside {
  /** As the rows call it. */
  readonly on: string;
  readonly bundle: string;
  readonly rounds: number;
  /** Whether the bundle has another machine for `slipway run`. */
  readonly another: boolean;
  /** Of a job by HTTP to a fresh `ssh host true`. */
  readonly budget?: number;
}

/** The same work on the same machine by slipway and by OpenSSH's client, in turns; a ratio is of one turn's two. */
export async function besideSsh(stack: BenchStack, beside: Beside): Promise<readonly Row[]> {
  const { on, bundle, rounds, another, budget } = beside;
  const leaseId = `beside-${bundle}`;
  const folder = await mkdtemp(join(tmpdir(), 'slipway-bench-ssh-'));
  const samples = new Samples();
  try {
    const ssh = await leaseForSsh(stack, leaseId, bundle, folder);
    for (let n = 0; n < rounds; n += 1) {
      const sshMs = await timed(() => ssh.run('true'));
      samples.add('ssh', sshMs);
      const askedMs = performance.now();
      await putTask(stack, leaseId, `true-${n}`, ['true']);
      samples.add('api', ((await follow(stack, leaseId, `true-${n}`)).endMs - askedMs) / sshMs);
      samples.add('task', (await timed(() => stack.cli('task', 'run', leaseId, '--', 'true'))) / sshMs);
      if (another) samples.add('run', (await timed(() => stack.cli('run', '--bundle', bundle, '--', 'true'))) / sshMs);
    }
    await ssh.run(`head -c ${bigBytes} /dev/urandom >~/big`);
    for (let n = 0; n < bigRounds; n += 1) {
      const sshMs = await timed(() => ssh.run('cat ~/big'));
      samples.add('out', (await timed(() => catBig(stack, leaseId, n))) / sshMs);
    }
    await ssh.run('rm ~/big');
    for (let n = 0; n < bigRounds; n += 1) {
      // New bytes each time: a blob that is there already is not sent again.
      const file = join(folder, 'in');
      await pipeline(Readable.from(randomMib(bigBytes / mib)), createWriteStream(file));
      const scpMs = await timed(() => ssh.copy(file, '~/by-scp'));
      samples.add('in', (await timed(() => stack.cli('file', 'put', leaseId, file, '~/by-slipway'))) / scpMs);
      await ssh.run('rm ~/by-scp ~/by-slipway');
    }
    await release(stack, leaseId);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const of = (name: string): readonly number[] => samples.of(name);
  const row = (what: string, name: string, most?: number): Row => ({
    name: `${on}: ${what}`,
    unit: '×',
    samples: of(name),
    ...(most === undefined ? {} : { budget: most }),
  });
  return [
    row('a job by HTTP ÷ ssh host true', 'api', budget),
    row('slipway task run ÷ ssh host true', 'task'),
    ...(another ? [row('slipway run, with a machine of its own ÷ ssh host true', 'run')] : []),
    row('256 MiB of output ÷ ssh host cat', 'out', 2),
    row('256 MiB file in ÷ scp', 'in'),
    { name: `${on}: ssh host true`, unit: 'ms', samples: of('ssh') },
  ];
}

interface Ssh {
  readonly run: (command: string) => Promise<void>;
  readonly copy: (local: string, remote: string) => Promise<void>;
}

/** A lease whose machine lets a key of ours in. */
async function leaseForSsh(stack: BenchStack, leaseId: string, bundle: string, folder: string): Promise<Ssh> {
  const key = join(folder, 'key');
  await runProgram('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', key]);
  const publicKey = (await readFile(`${key}.pub`, 'utf8')).trim();
  await createLease(stack, { leaseId, bundle, authorizedKeys: [publicKey] });
  const { access } = await awaitLease(stack, leaseId, 'ready');
  if (!access) throw new Error('a ready lease without access');
  const { address, port, user, hostKey } = access;
  const knownHosts = join(folder, 'known_hosts');
  await writeFile(knownHosts, `[${address}]:${port} ${hostKey}\n`);
  const options = [
    'IdentitiesOnly=yes',
    'BatchMode=yes',
    `UserKnownHostsFile=${knownHosts}`,
    'StrictHostKeyChecking=yes',
  ];
  const common = ['-F', 'none', '-i', key, ...options.flatMap((option) => ['-o', option])];
  return {
    run: (command) => runProgram('ssh', [...common, '-p', String(port), `${user}@${address}`, '--', command]),
    // The protocol of old: it needs no more of a machine than a shell and scp(1).
    copy: (local, remote) =>
      runProgram('scp', ['-q', '-O', ...common, '-P', String(port), local, `${user}@${address}:${remote}`]),
  };
}

async function catBig(stack: BenchStack, leaseId: string, n: number): Promise<void> {
  await putTask(stack, leaseId, `cat-${n}`, ['cat', 'big']);
  let got = 0;
  const { exitCode } = await follow(stack, leaseId, `cat-${n}`, ({ length }) => (got += length));
  if (exitCode !== 0 || got !== bigBytes) throw new Error(`cat exits ${exitCode} after ${got} bytes`);
}

function* randomMib(count: number): Generator<Buffer> {
  for (let n = 0; n < count; n += 1) yield randomBytes(mib);
}
