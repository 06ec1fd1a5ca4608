import { execFileSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  copyFileSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, relative } from 'node:path';
import { DomainError } from '../../domain/failure.ts';
import {
  harmlessDevices,
  hostKeys,
  hostPath,
  keptCapabilities,
  powerCommands,
  refreshResolver,
} from './root-template.ts';

/** Top-level folders that a machine has of its own, empty; all others of the host are seen through an overlay each. */
const ownTops = new Set([
  '/boot',
  '/dev',
  '/home',
  '/lost+found',
  '/media',
  '/mnt',
  '/proc',
  '/root',
  '/run',
  '/sys',
  '/tmp',
]);

/**
 * How deep a machine's root may write into the host's folders: a folder of the host belongs to nobody in there, so that only
 * one that the machine's own layer has too, and owns, takes new files.
 */
const depths: Readonly<Record<string, number>> = { '/usr': 2, '/var': 5, '/opt': 4, '/srv': 4 };

/**
 * Builds what machines of tier `userns` start from: `tops/<name>` is the layer over each top-level folder of the host (its
 * folders, whiteouts for what must not be seen), `etc` a copy that the machine owns, `links` the top-level links.
 * An overlay of `/` itself is refused in a user namespace.
 * @param hidden absolute paths of the host that no machine sees
 */
export function buildUsernsTemplate(template: string, hidden: readonly string[], scripts: string): void {
  rmSync(template, { recursive: true, force: true });
  mkdirSync(template, { recursive: true, mode: 0o700 });
  const root = join(template, 'root');
  mkdirSync(root, { mode: 0o755 });
  const layers = join(template, 'tops');
  mkdirSync(layers);
  for (const name of readdirSync('/')) {
    const path = `/${name}`;
    const found = lstatSync(path);
    if (found.isSymbolicLink()) symlinkSync(readlinkSync(path), join(root, name));
    if (!found.isDirectory()) continue;
    mkdirSync(join(root, name), { mode: name === 'root' ? 0o700 : 0o755 });
    if (path === '/etc' || ownTops.has(path) || hidden.includes(path)) continue;
    layerOf(path, join(layers, name), hidden, depths[path] ?? 1);
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  copyEtc(join(root, 'etc'));

  const own = join(layers, 'usr/lib/slipway');
  mkdirSync(own, { recursive: true });
  writeFileSync(join(own, 'capabilities'), `${keptCapabilities}\n`);
  writeFileSync(join(own, 'init'), readFileSync(join(scripts, 'root-init.sh')));
  writeFileSync(join(own, 'reboot'), readFileSync(join(scripts, 'root-reboot.sh')), { mode: 0o755 });
  const commands = join(layers, 'usr/sbin');
  mkdirSync(commands, { recursive: true });
  for (const command of powerCommands) {
    rmSync(join(commands, command), { force: true });
    symlinkSync('/usr/lib/slipway/reboot', join(commands, command));
  }
  copyFileSync(join(scripts, 'root-boot.sh'), join(template, 'boot.sh'));
  copyFileSync(join(scripts, 'userns-overlays.sh'), join(template, 'overlays.sh'));
  layRunAndDev(template);
}

/** The host's folders, owned by the machine; what it may not read and what is hidden is whited out. */
function layerOf(path: string, layer: string, hidden: readonly string[], depth: number): void {
  mkdirSync(layer, { mode: 0o755 });
  const { mode } = statSync(path);
  const whiteouts: string[] = [];
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    const below = join(path, entry.name);
    if (hidden.includes(below)) whiteouts.push(join(layer, entry.name));
    else if (!entry.isDirectory()) continue;
    else if (!may(below, constants.R_OK | constants.X_OK)) whiteouts.push(join(layer, entry.name));
    else if (depth > 1 || hidden.some((each) => each.startsWith(`${below}/`)))
      layerOf(below, join(layer, entry.name), hidden, depth - 1);
  }
  whiteOut(whiteouts);
  chmodSync(layer, (mode & 0o1777) | 0o700);
}

function may(path: string, mode: number): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** Overlayfs's mark for "nothing here"; since Linux 5.8 anybody may make it. */
function whiteOut(paths: readonly string[]): void {
  if (paths.length === 0) return;
  execFileSync('/bin/sh', ['-c', 'for path; do mknod "$path" c 0 0 || exit; done', 'sh', ...paths], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: hostPath },
  });
}

/** All that this user may read. The machine owns it: users are added, services configured. */
function copyEtc(to: string): void {
  // What may not be read is left out, which cp(1) tells as a failure: whether the copy is one is looked at below.
  const copy = 'cp -dR --preserve=mode,timestamps -- /etc/. "$1" 2>/dev/null; chmod -R u+rwX -- "$1"';
  execFileSync('/bin/sh', ['-c', copy, 'sh', to], { env: { PATH: hostPath }, stdio: ['ignore', 'ignore', 'pipe'] });
  if (!readFileSync('/etc/passwd').equals(readFileSync(join(to, 'passwd'))))
    throw new DomainError('ProviderUnavailable', `/etc could not be copied to ${to}.`, { hint: 'Is the disk full?' });
  for (const path of hostKeys()) rmSync(join(to, relative('/etc', path)), { force: true });
  // The host's passwords are its own.
  const users = readFileSync('/etc/passwd', 'utf8').split('\n').filter(Boolean);
  const shadow = users.map((line) => `${line.split(':')[0]}:*:19000:0:99999:7:::\n`).join('');
  rmSync(join(to, 'shadow'), { force: true });
  writeFileSync(join(to, 'shadow'), shadow, { mode: 0o640 });
  rmSync(join(to, 'gshadow'), { force: true });
  rmSync(join(to, 'resolv.conf'), { force: true });
  refreshResolver(join(to, 'resolv.conf'));
}

/** Devices cannot be made here: each boot binds the host's harmless ones over these files. */
function layRunAndDev(template: string): void {
  const run = join(template, 'run');
  mkdirSync(join(run, 'old'), { recursive: true });
  mkdirSync(join(run, 'lock'));
  chmodSync(join(run, 'lock'), 0o1777);
  execFileSync('/bin/sh', ['-c', 'mkfifo -m 600 "$1"', 'sh', join(run, 'initctl')], { env: { PATH: hostPath } });
  const dev = join(template, 'dev');
  mkdirSync(dev);
  for (const name of harmlessDevices) writeFileSync(join(dev, name), '');
  symlinkSync('pts/ptmx', join(dev, 'ptmx'));
  symlinkSync('/proc/self/fd', join(dev, 'fd'));
  for (const [n, name] of ['stdin', 'stdout', 'stderr'].entries()) symlinkSync(`/proc/self/fd/${n}`, join(dev, name));
}
