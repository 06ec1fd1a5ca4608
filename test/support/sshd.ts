import { spawn, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect, createServer, type AddressInfo } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import type { GuestAddress } from '../../src/guest/guest.ts';
import { opensshKeyPair, type OpensshKeyPair } from '../../src/guest/openssh-key.ts';

export interface SshdOptions {
  /** A shell line that runs the command of each exec, `$SSH_ORIGINAL_COMMAND`; for other login shells and noisy rc files. */
  readonly forceCommand?: string;
  /** More lines of sshd_config. */
  readonly config?: readonly string[];
  /**
   * As a machine that stands: its home is empty but for `~/.ssh/authorized_keys`, which is what counts, and where root's
   * tasks live (/var/lib) is its own.
   */
  readonly standing?: boolean;
  /** What it serves, and who may log in; new ones when absent. */
  readonly hostKey?: OpensshKeyPair;
  readonly clientKey?: OpensshKeyPair;
}

/** A real OpenSSH sshd on loopback, as root or as an ordinary user. */
export interface Sshd {
  readonly address: string;
  readonly port: number;
  /** Who logs in: whoever runs the tests. */
  readonly user: string;
  readonly hostKey: OpensshKeyPair;
  readonly clientKey: OpensshKeyPair;
  /** `HOME` of what it runs; also the folder of its files. */
  readonly home: string;
  /** Where a guest's files belong, so that nothing is left outside: `createGuests({ base: sshd.base })`. */
  readonly base: string;
  readonly pid: number;
  /** What a pinned connection needs. */
  at(id?: string): GuestAddress;
  log(): Promise<string>;
  /** Ends the listener; sessions live on as they do under a restarted sshd. */
  stop(): Promise<void>;
  /** Ends it and removes its folder. */
  remove(): Promise<void>;
}

export const sshdPath = ['/usr/sbin/sshd', '/usr/local/sbin/sshd', '/usr/bin/sshd'].find((path) => existsSync(path));

export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  if (sshdPath === undefined) throw new Error('OpenSSH sshd is not installed');
  const folder = await mkdtemp(join(tmpdir(), 'slipway-sshd-'));
  const home = options.standing === true ? join(folder, 'home') : folder;
  const hostKey = options.hostKey ?? opensshKeyPair(randomBytes(32), 'host');
  const clientKey = options.clientKey ?? opensshKeyPair(randomBytes(32), 'client');
  const at = (name: string): string => join(folder, name);
  const keys = options.standing === true ? join(home, '.ssh/authorized_keys') : at('authorized_keys');
  await mkdir(dirname(keys), { recursive: true, mode: 0o700 });
  await writeFile(at('host_key'), hostKey.privateKey, { mode: 0o600 });
  await writeFile(keys, `${clientKey.publicKey}\n`, { mode: 0o600 });
  // Its privilege separation wants this folder, which a container may lack.
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });

  const port = await freePort();
  const config = [
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${at('host_key')}`,
    `AuthorizedKeysFile ${keys}`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PermitRootLogin prohibit-password',
    'MaxStartups 100',
    // Marked as a machine that is no more than processes: it has no reboots, and no units of this host's systemd.
    `SetEnv HOME=${home} SLIPWAY_MACHINE=sshd-${port}`,
    ...(options.forceCommand === undefined ? [] : [`ForceCommand ${options.forceCommand}`]),
    ...(options.config ?? []),
  ];
  await writeFile(at('sshd_config'), `${config.join('\n')}\n`);
  const words = ['-D', '-f', at('sshd_config'), '-E', at('sshd.log')];
  const own = options.standing === true && process.getuid?.() === 0;
  if (own) await mkdir(at('lib'));
  const [program, ...args]: readonly [string, ...string[]] = own
    ? ['unshare', '--mount', 'sh', '-c', 'mount --bind "$0" /var/lib && exec "$@"', at('lib'), sshdPath, ...words]
    : [sshdPath, ...words];
  const child = spawn(program, args, { stdio: 'ignore' });
  await listening(child, port, at('sshd.log'));

  const stop = async (): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await gone;
  };
  const user = userInfo().username;
  return {
    address: '127.0.0.1',
    port,
    user,
    hostKey,
    clientKey,
    home,
    base: at('base'),
    pid: child.pid ?? 0,
    at: (id = 'box.1') => ({ id, name: id, address: '127.0.0.1', port, user, hostKey: hostKey.publicKey }),
    log: () => readFile(at('sshd.log'), 'utf8'),
    stop,
    async remove() {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function listening(child: ChildProcess, port: number, log: string): Promise<void> {
  let exited = false;
  child.once('exit', () => {
    exited = true;
  });
  while (!(await answers(port))) {
    if (exited) throw new Error(`sshd did not start: ${await readFile(log, 'utf8').catch(() => 'no log')}`);
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const settle = (value: boolean): void => {
      socket.destroy();
      setTimeout(() => resolve(value), value ? 0 : 10);
    };
    socket.once('data', () => settle(true));
    socket.once('error', () => settle(false));
  });
}

/** A free port of loopback. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
