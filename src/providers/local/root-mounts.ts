import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Parts of a root that hosts keep on filesystems of their own; parents first. What is mounted elsewhere is no machine's. */
const rootParts = [
  '/etc',
  '/usr',
  '/usr/local',
  '/opt',
  '/srv',
  '/nix',
  '/nix/store',
  '/var',
  '/var/lib',
  '/var/cache',
];

/** Mount points besides `/` that a machine's root needs an overlay of. An overlay of `/` shows none of them. */
export function otherMountPoints(mountinfo = readFileSync('/proc/self/mountinfo', 'utf8')): readonly string[] {
  const points = new Set(mountinfo.split('\n').map((line) => line.split(' ')[4]));
  return rootParts.filter((part) => points.has(part));
}

/** Below /proc: what a root without SYS_ADMIN could still write by file mode alone; sysrq-trigger reboots the host. */
const readOnlyProc = ['sys', 'sysrq-trigger', 'irq', 'bus', 'fs', 'acpi', 'scsi'];
const emptyProc = ['kcore', 'kmsg', 'keys', 'timer_list'];

/** For machines that cannot make devices: the host's, bound over empty files, as fstab(5). */
export const deviceFstab = (root: string, names: readonly string[]): string =>
  names.map((name) => `/dev/${name} ${escaped(join(root, 'dev', name))} none bind 0 0\n`).join('');

/**
 * The mounts of each boot, as fstab(5), so that one `mount` process makes them all.
 * @param root where the machine's root is mounted @param bootId the file that shows as the boot id
 * @param userns in a namespace of users: /sys comes with all below it, and a terminal's group may be nobody's
 */
export function bootFstab(root: string, bootId: string, userns = false): string {
  const proc = (names: readonly string[]) => names.filter((name) => existsSync(`/proc/${name}`));
  const lines: (readonly [from: string, to: string, type: string, options: string])[] = [
    ['proc', 'proc', 'proc', 'nosuid,nodev,noexec'],
    ...proc(readOnlyProc).map((name) => [join(root, 'proc', name), `proc/${name}`, 'none', 'bind,ro'] as const),
    ...proc(emptyProc).map((name) => ['/dev/null', `proc/${name}`, 'none', 'bind,ro'] as const),
    [bootId, 'proc/sys/kernel/random/boot_id', 'none', 'bind,ro'],
    ['/sys', 'sys', 'none', `${userns ? 'rbind' : 'bind'},ro,nosuid,nodev,noexec`],
    // The control groups that the host has given to this user are no machine's.
    ...(userns ? [['tmpfs', 'sys/fs', 'tmpfs', 'ro,size=4k,mode=0555'] as const] : []),
    ['tmpfs', 'dev', 'tmpfs', 'size=64k,mode=0755,nosuid,noexec'],
    [
      'devpts',
      'dev/pts',
      'devpts',
      `newinstance,ptmxmode=0666,mode=0620,${userns ? '' : 'gid=5,'}nosuid,noexec,x-mount.mkdir`,
    ],
    ['tmpfs', 'dev/shm', 'tmpfs', 'size=256m,mode=1777,nosuid,nodev,x-mount.mkdir'],
    ['tmpfs', 'run', 'tmpfs', 'size=64m,mode=0755,nosuid,nodev'],
  ];
  return lines
    .map(([from, to, type, options]) => `${escaped(from)} ${escaped(join(root, to))} ${type} ${options} 0 0\n`)
    .join('');
}

/** fstab(5) splits at blanks. */
const escaped = (path: string): string =>
  path.replaceAll(/[ \t\n\\#]/g, (char) => `\\${char.charCodeAt(0).toString(8).padStart(3, '0')}`);
