import { execFileSync } from 'node:child_process';
import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { CheckItem, ProviderCheck } from '../provider.ts';
import type { TierName } from './record.ts';
import { keptCapabilities } from './root-template.ts';

const searched = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];
/** Of util-linux and coreutils, all on an ordinary Linux. */
const rootTools = ['unshare', 'nsenter', 'setpriv', 'mount', 'umount', 'pivot_root', 'mknod', 'mkfifo', 'cp'] as const;
/** Bits of capabilities(7). */
const needed = { SYS_ADMIN: 21, SYS_CHROOT: 18, MKNOD: 27, SETUID: 7, SETGID: 6, SETPCAP: 8, CHOWN: 0 } as const;

export function findTool(name: string): string | undefined {
  return searched
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Of unshare(1): the namespaces of a machine, which end with it. */
const inOwn = ['--mount', '--pid', '--uts', '--ipc', '--fork', '--kill-child=KILL'] as const;

/** What the host has for each tier, and the tier that machines get. */
export interface HostCheck extends ProviderCheck {
  readonly tier: TierName | undefined;
}

/** @param forced the tier that the configuration asks for */
export function checkHost(forced: TierName | undefined): HostCheck {
  if (process.platform !== 'linux') {
    const text = `Machines of local need Linux (namespaces, /proc); this is ${process.platform}. Use a remote provider here.`;
    return { ok: false, tier: undefined, summary: 'not on this system', items: [{ name: 'linux', ok: false, text }] };
  }
  const uid = process.getuid?.() ?? -1;
  // Best first. What only a better tier would need is told, and is no fault.
  const tiers: readonly { readonly name: TierName; readonly items: readonly CheckItem[] }[] = [
    {
      name: 'root',
      items: uid === 0 ? rootItems() : [{ name: 'root', ok: false, text: `needs root, this is user ${uid}` }],
    },
    { name: 'userns', items: usernsItems(uid) },
    { name: 'plain', items: plainItems(uid) },
  ];
  const works = ({ items }: (typeof tiers)[number]): boolean => items.every(({ ok }) => ok);
  const found = tiers.find((each) => (forced === undefined || each.name === forced) && works(each));
  const told = found ? [found, ...tiers.slice(0, tiers.indexOf(found))] : tiers;
  const items = told.flatMap(({ name, items: own }) =>
    own.map((each) =>
      name === found?.name ? each : { ...each, name: `${name}: ${each.name}`.replace(/^(.+): \1$/, '$1') },
    ),
  );
  return { ok: found !== undefined, tier: found?.name, summary: summaryOf(found?.name, forced), items };
}

const summaries: Record<TierName, string> = {
  root: 'own root, users, addresses',
  userns: 'own root, /etc, processes and reboot, as an ordinary user',
  plain: 'own home, processes and address; no root of its own',
};

function summaryOf(tier: TierName | undefined, forced: TierName | undefined): string {
  if (tier) return `tier ${tier} (${summaries[tier]})`;
  return forced === undefined ? 'no tier works on this host' : `tier ${forced} does not work on this host`;
}

function rootItems(): readonly CheckItem[] {
  const status = readFileSync('/proc/self/status', 'latin1');
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)/m.exec(status)?.[1] ?? '0'}`);
  const lacking = Object.entries(needed).filter(([, bit]) => (effective & (1n << BigInt(bit))) === 0n);
  const missing = rootTools.filter((name) => findTool(name) === undefined);
  return [
    item('capabilities', lacking.length === 0, 'there', `lacks ${lacking.map(([name]) => `CAP_${name}`).join(', ')}`),
    item('tools', missing.length === 0, 'there', `missing: ${missing.join(', ')} (util-linux, coreutils)`),
    ...(lacking.length === 0 && missing.length === 0 ? [namespaces(), overlay()] : []),
    etcItem(),
    terminalItem(),
  ];
}

/** Arguments of unshare(1): root of a namespace of users, with subordinate ids (subuid(5)) where there are some. */
export const usersOf = (): readonly string[] => {
  const all = ['--user', '--map-root-user', '--map-auto'];
  return inOwnMounts([...all, '/bin/sh', '-c', ':']) === '' ? all : all.slice(0, 2);
};

/** As a machine is made, for the moment of the look: a namespace of users may be there, and mounts refused in it. */
const tryUserns = `mount -t tmpfs -o size=1m slipway /tmp && cd /tmp && mkdir upper work root && mknod x c 0 0 &&
mount -t overlay -o userxattr,lowerdir=/usr,upperdir=upper,workdir=work slipway root && mount -t proc proc root/lib && : >d && mount --bind /dev/null d`;

function usernsItems(uid: number): readonly CheckItem[] {
  if (uid === 0) return [{ name: 'userns', ok: false, text: 'for ordinary users; root has tier root' }];
  const missing = [...rootTools, 'hostname'].filter((name) => findTool(name) === undefined);
  if (missing.length > 0) return [item('tools', false, '', `missing: ${missing.join(', ')} (util-linux, coreutils)`)];
  const users = usersOf();
  const path = `PATH=${searched.join(':')}; export PATH; ${tryUserns}`;
  const said = inOwnMounts([...users, ...inOwn, '/bin/sh', '-c', path]);
  const others = users.includes('--map-auto')
    ? 'with the subordinate ids of this user'
    : 'root is its only user: others need newuidmap (package uidmap) and a line of this user in /etc/subuid and /etc/subgid';
  return [
    item(
      'user namespaces',
      said === '',
      others,
      `${said} (kernel.apparmor_restrict_unprivileged_userns, or a container?)`,
    ),
    etcItem(),
    terminalItem(),
  ];
}

const inOwnMounts = (words: readonly string[]): string => {
  const unshare = findTool('unshare') ?? 'unshare';
  try {
    execFileSync(unshare, [...words], { stdio: ['ignore', 'ignore', 'pipe'], timeout: 10_000, env: { LC_ALL: 'C' } });
    return '';
  } catch (error) {
    const said = (error as { stderr?: Buffer }).stderr?.toString().trim() ?? '';
    return said === '' ? (error as Error).message : said;
  }
};

function namespaces(): CheckItem {
  const setpriv = [findTool('setpriv') ?? 'setpriv', '--pdeathsig', 'KILL', '--bounding-set', keptCapabilities];
  const said = inOwnMounts([...inOwn, ...setpriv, '/bin/sh', '-c', ':']);
  return item('namespaces', said === '', 'mount, pid, uts and ipc', said);
}

/** Mounts the overlay that machines get, for the moment of the look, in a namespace of its own. */
const tryOverlay = `mount -t tmpfs -o size=1m slipway /tmp && cd /tmp && mkdir layer upper work root more &&
mknod layer/x c 0 0 && mount -t overlay -o lowerdir=layer:/,upperdir=upper,workdir=work,index=off slipway root &&
echo "slipway /tmp/more tmpfs size=4k 0 0" >fstab && mount --all --fstab fstab`;

function overlay(): CheckItem {
  const path = `PATH=${searched.join(':')}; export PATH; ${tryOverlay}`;
  const said = inOwnMounts(['--mount', '--propagation', 'slave', '/bin/sh', '-c', path]);
  return item('overlay', said === '', 'a copy-on-write view of / on a tmpfs', said);
}

function etcItem(): CheckItem {
  const plain = ['/etc', '/usr', '/var'].every((path) => statSync(path).isDirectory());
  return item('layout', plain, '/etc, /usr and /var are folders', '/etc, /usr or /var is no folder');
}

/** Nice to have: without it shells have no terminal. */
function terminalItem(): CheckItem {
  const there = findTool('script') !== undefined;
  return { name: 'terminal', ok: true, text: there ? 'script(1) is there' : 'no script(1): shells get no terminal' };
}

function plainItems(uid: number): readonly CheckItem[] {
  return [
    item(
      'ordinary user',
      uid !== 0,
      `user ${uid}; files outside a machine's home, other owners and other users are refused there`,
      'tier plain refuses to run as root: its machines are this user, so a job could harm the host. Use an ordinary user',
    ),
    terminalItem(),
  ];
}

const item = (name: string, ok: boolean, good: string, bad: string): CheckItem => ({ name, ok, text: ok ? good : bad });
