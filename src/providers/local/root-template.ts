import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
} from 'node:fs';
import { realpathSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * What a machine's root may do. A list of what is kept, so that a newer kernel's capabilities are dropped too. Not here:
 * SYS_ADMIN (remounting /sys and /proc/sys writable, devtmpfs with the host's disks), DAC_READ_SEARCH (files of the host by
 * handle), MKNOD, SYS_MODULE, SYS_RAWIO, SYS_TIME, SYS_BOOT, NET_ADMIN, SYSLOG, BPF and the like.
 */
const kept = [
  'chown',
  'dac_override',
  'fowner',
  'fsetid',
  'kill',
  'setgid',
  'setuid',
  'setpcap',
  'setfcap',
  'net_bind_service',
  'net_raw',
  'sys_chroot',
  'sys_ptrace',
  'sys_nice',
  'ipc_lock',
  'ipc_owner',
  'lease',
  'audit_write',
] as const;

/** For setpriv(1), `--bounding-set`. */
export const keptCapabilities = `-all,${kept.map((name) => `+${name}`).join(',')}`;

export const harmlessDevices = ['null', 'zero', 'full', 'random', 'urandom', 'tty'] as const;
export const powerCommands = ['reboot', 'poweroff', 'halt', 'shutdown'] as const;

/**
 * Builds the folder that every machine's disk is a copy of: `layer` lies over the host's root (whiteouts for what must not
 * be seen, and our own files), `upper` is where the machine writes, `dev` and `run` go into each boot.
 * @param hidden absolute paths of the host that no machine sees, besides /root, /home, /tmp and the host's SSH keys
 */
export function buildTemplate(template: string, hidden: readonly string[], scripts: string): void {
  rmSync(template, { recursive: true, force: true });
  const layer = join(template, 'layer');
  mkdirSync(template, { recursive: true, mode: 0o700 });
  likeHost(layer, '/');

  const whiteouts = hiddenPaths(['/root', '/home', '/tmp', '/var/lib/slipway', ...hidden, ...hostKeys()]);
  for (const path of whiteouts) likeHost(layer, dirname(path));
  // A character device 0/0 is overlayfs's mark for "nothing here" (kernel Documentation/filesystems/overlayfs.rst).
  sh(
    'for path; do mknod "$path" c 0 0 || exit; done',
    whiteouts.map((path) => join(layer, path)),
  );

  likeHost(layer, '/etc');
  refreshResolver(join(layer, 'etc/resolv.conf'));
  likeHost(layer, '/usr/lib');
  const own = join(layer, 'usr/lib/slipway');
  mkdirSync(own, { mode: 0o755 });
  writeFileSync(join(own, 'capabilities'), `${keptCapabilities}\n`);
  writeFileSync(join(own, 'init'), readFileSync(join(scripts, 'root-init.sh')));
  writeFileSync(join(own, 'reboot'), readFileSync(join(scripts, 'root-reboot.sh')), { mode: 0o755 });
  for (const folder of ['/usr/sbin', '/sbin', '/usr/bin', '/bin']) {
    if (!lstatSync(folder, { throwIfNoEntry: false })?.isDirectory()) continue;
    for (const command of powerCommands) {
      if (folder !== '/usr/sbin' && !lstatSync(join(folder, command), { throwIfNoEntry: false })) continue;
      likeHost(layer, folder);
      symlinkSync('/usr/lib/slipway/reboot', join(layer, folder, command));
    }
  }

  // A copy in every machine: its next boot is of the version that made it.
  copyFileSync(join(scripts, 'root-boot.sh'), join(template, 'boot.sh'));
  copyFileSync(join(scripts, 'root-overlays.sh'), join(template, 'overlays.sh'));

  const upper = join(template, 'upper');
  likeHost(upper, '/');
  mkdirSync(join(upper, 'root'));
  chmodSync(join(upper, 'root'), 0o700);
  mkdirSync(join(upper, 'home'), { mode: 0o755 });
  mkdirSync(join(upper, 'tmp'));
  chmodSync(join(upper, 'tmp'), 0o1777);

  mkdirSync(join(template, 'work'));
  const run = join(template, 'run');
  mkdirSync(run, { mode: 0o755 });
  // Where the old root goes for a moment; pid 1 removes it.
  mkdirSync(join(run, 'old'));
  mkdirSync(join(run, 'lock'));
  chmodSync(join(run, 'lock'), 0o1777);
  sh('mkfifo -m 600 "$1"', [join(run, 'initctl')]);

  const dev = join(template, 'dev');
  mkdirSync(dev, { mode: 0o755 });
  sh('cp -a -- "$@"', [...harmlessDevices.map((name) => `/dev/${name}`).filter((path) => existsSync(path)), dev]);
  symlinkSync('pts/ptmx', join(dev, 'ptmx'));
  symlinkSync('/proc/self/fd', join(dev, 'fd'));
  for (const [n, name] of ['stdin', 'stdout', 'stderr'].entries()) symlinkSync(`/proc/self/fd/${n}`, join(dev, name));
}

/**
 * What changes on the host while we run: its name servers. As a file, since a link into /run, which a machine has of its
 * own, would leave it without name resolution.
 */
export function refreshResolver(to: string): void {
  const from = '/etc/resolv.conf';
  const now = existsSync(from) ? readFileSync(from) : Buffer.of();
  if (!existsSync(to) || !readFileSync(to).equals(now)) writeFileSync(to, now, { mode: 0o644 });
}

/** The topmost layer's folder gives a merged folder its owner and mode, so ours must look like the host's. */
function likeHost(layer: string, path: string): void {
  if (path !== '/') likeHost(layer, dirname(path));
  const here = join(layer, path);
  if (existsSync(here)) return;
  mkdirSync(here);
  const { uid, gid, mode } = statSync(path);
  chownSync(here, uid, gid);
  chmodSync(here, mode & 0o7777);
}

/** Each where it is called and where it really lies, without what is below another. */
function hiddenPaths(paths: readonly string[]): readonly string[] {
  const there = paths.filter((path) => lstatSync(path, { throwIfNoEntry: false }));
  const all = [...new Set([...there, ...there.map((path) => realpathSync(path))])].filter(
    (path) => path !== '/' && realpathSync(dirname(path)) === dirname(path),
  );
  return all.filter((path) => !all.some((other) => path !== other && path.startsWith(`${other}/`)));
}

export function hostKeys(): readonly string[] {
  const folder = '/etc/ssh';
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith('ssh_host_'))
    .map((name) => join(folder, name));
}

function sh(script: string, words: readonly string[]): void {
  execFileSync('/bin/sh', ['-c', script, 'sh', ...words], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: hostPath },
  });
}

export const hostPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
