import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { DomainError } from '../../domain/failure.ts';
import { accountIn, authorizedKeysIn } from './guest-files.ts';
import { machineFolder, type MachineRecord } from './record.ts';
import type { LocalPaths } from './local-paths.ts';
import { isAlive, signalProcess, type ProcessIdentity } from '../../host/process-identity.ts';
import { enteredFromOutside, openBoot, readBoot, readKeeper, watchBoots, type Boot } from './root-boot.ts';
import { bootAgain, consoleOf, haltBoot } from './root-power.ts';
import { harmlessDevices, hostPath, refreshResolver } from './root-template.ts';
import { bootFstab, deviceFstab, otherMountPoints } from './root-mounts.ts';
import { shellRun } from './shell-run.ts';
import type { Tier } from './tier.ts';

const bootWithinMs = 30_000;
const killWithinMs = 30_000;
const lookMs = 3;
/** Most machines are gone sooner; then it is looked for what keeps one. */
const helpEveryMs = 100;

/** What lets one machine's processes be entered and watched. */
interface Hold {
  boot: Boot | undefined;
  watcher: { readonly close: () => void } | undefined;
}

/** What tells the two ways to a root of its own apart: with the host's root, or in a namespace of users. */
export interface RootKind {
  readonly name: 'root' | 'userns';
  /** Arguments of unshare(1) that make the keeper root of a namespace of users. */
  readonly users: readonly string[];
}

/**
 * Machines of the tiers `root` and `userns`: namespaces and a copy-on-write root. The disk is a sized tmpfs on every host: a limit that needs
 * neither quota nor loop device, that works where the state folder lies on an overlay itself, and that goes with its keeper.
 * @param scripts folder of the .sh files @param template see `buildTemplate`
 */
export function createRootTier(paths: LocalPaths, kind: RootKind, tools: RootTools, scripts: string): Tier {
  const userns = kind.name === 'userns';
  const holds = new Map<string, Hold>();
  const folderOf = (id: string): string => machineFolder(paths, id);

  const drop = (id: string): void => {
    const hold = holds.get(id);
    hold?.boot?.close();
    if (hold) hold.boot = undefined;
  };
  /** The boot as it is now, held; what a former boot held is let go, or it would keep its mounts alive. */
  const current = (id: string): Boot | undefined => {
    const hold = holds.get(id) ?? { boot: undefined, watcher: undefined };
    holds.set(id, hold);
    if (hold.boot && readBoot(folderOf(id))?.bootId === hold.boot.bootId) return hold.boot;
    drop(id);
    hold.boot = openBoot(folderOf(id));
    return hold.boot;
  };
  const must = (record: MachineRecord): Boot => {
    const boot = current(record.id);
    if (boot) return boot;
    throw new DomainError('GuestUnreachable', `Machine ${record.tags['slipway-machine']} (local) is not up.`);
  };
  const kill = async (id: string): Promise<void> => {
    const folder = folderOf(id);
    const keeper = readKeeper(folder);
    const boot = readBoot(folder);
    // The whole group: so that a boot that is under way dies too.
    if (keeper) signalProcess(-keeper.pid, 'SIGKILL');
    await killBoot(id, boot, keeper);
  };
  const killBoot = async (id: string, boot: ProcessIdentity | undefined, keeper?: ProcessIdentity): Promise<void> => {
    const entered = boot && enteredFromOutside(boot.pid);
    if (boot) signalProcess(boot.pid, 'SIGKILL');
    drop(id);
    // pid 1 ends after all others of its namespace are reaped.
    await gone([keeper, boot], id, () => entered?.().forEach((pid) => signalProcess(pid, 'SIGKILL')));
  };

  return {
    name: kind.name,
    user: 'root',

    async make(record) {
      const folder = folderOf(record.id);
      await kill(record.id);
      for (const name of ['keeper', 'boot', 'ended', 'power', 'off', 'halted', 'disk', 'root'])
        await rm(join(folder, name), { recursive: true, force: true });
      refreshResolver(join(paths.template, userns ? 'root' : 'layer', 'etc/resolv.conf'));
      await mkdir(join(folder, 'disk'), { mode: 0o700 });
      await mkdir(join(folder, 'root'), { mode: 0o700 });
      await writeFile(join(folder, 'fstab'), bootFstab(join(folder, 'root'), join(folder, 'disk', 'boot_id'), userns));
      await writeFile(join(folder, 'devices'), userns ? deviceFstab(join(folder, 'root'), harmlessDevices) : '');
      await startKeeper(record, folder, paths.template, kind, tools, scripts);
    },

    async adopt(record, onBoot) {
      const { id } = record;
      current(id);
      const hold = holds.get(id);
      if (!hold || hold.watcher) return;
      hold.watcher = watchBoots(folderOf(id), () => {
        const before = hold.boot?.bootId;
        if (current(id)?.bootId !== before) onBoot();
      });
    },

    look(id) {
      if (current(id)) return 'running';
      return readKeeper(folderOf(id)) ? 'pending' : 'stopped';
    },

    facts(record) {
      const bootId = holds.get(record.id)?.boot?.bootId;
      return { disk: `${record.diskMb} MiB`, ...(bootId === undefined ? {} : { bootId }) };
    },

    async account(record, user) {
      const boot = current(record.id);
      const account = boot && (await accountIn(boot.root, user));
      return account && isMapped(boot.pid, account.uid) ? account : undefined;
    },

    async authorizedKeys(record, account) {
      const boot = current(record.id);
      return boot ? authorizedKeysIn(join(boot.root, account.home)) : [];
    },

    spawn(record, run) {
      const { enter } = must(record);
      const { account } = run;
      const { words, env } = shellRun(run);
      const identity =
        account.uid === 0 ? [] : ['--reuid', String(account.uid), '--regid', String(account.gid), '--init-groups'];
      return spawn(
        tools.nsenter,
        [...enter, '--', 'setpriv', '--bounding-set', tools.capabilities, ...identity, '--', ...words],
        { cwd: '/', detached: true, env: { ...env, SLIPWAY_ADDRESS: record.address } },
      );
    },

    stop: (record) => haltBoot(record, folderOf(record.id), (boot) => killBoot(record.id, boot)),
    start: (record) => bootAgain(record, folderOf(record.id)),
    console: (id, maxBytes) => consoleOf(folderOf(id), maxBytes),

    async destroy(record) {
      holds.get(record.id)?.watcher?.close();
      await kill(record.id);
      holds.delete(record.id);
    },
  };
}

/** Whether the machine has this user at all: without subordinate ids (subuid(5)) its only one is root. */
const isMapped = (pid: number, uid: number): boolean =>
  readFileSync(`/proc/${pid}/uid_map`, 'latin1')
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/).map(Number))
    .some(([from = 0, , count = 0]) => uid >= from && uid < from + count);

/** Paths of what we start on the host, and what a machine's root may do. */
export interface RootTools {
  readonly nsenter: string;
  readonly unshare: string;
  /** For setpriv(1), `--bounding-set`. */
  readonly capabilities: string;
}

async function startKeeper(
  record: MachineRecord,
  folder: string,
  template: string,
  kind: RootKind,
  tools: RootTools,
  scripts: string,
): Promise<void> {
  const logPath = join(folder, 'boot.log');
  const log = openSync(logPath, 'w', 0o600);
  const { hostname } = record.spec;
  const hosts = `127.0.0.1 localhost\n${record.address} ${hostname}\n::1 localhost ip6-localhost ip6-loopback`;
  const keep = [join(scripts, 'root-keeper.sh'), folder, template, String(record.diskMb), hostname, hosts];
  const keeper = spawn(
    tools.unshare,
    [...kind.users, '--mount', '--propagation', 'slave', '--', 'sh', ...keep, ...otherMountPoints()],
    { cwd: '/', detached: true, stdio: ['ignore', log, log], env: { PATH: hostPath, LC_ALL: 'C' } },
  );
  closeSync(log);
  const ended = new Promise<void>((resolve) => {
    keeper.once('exit', () => resolve());
    keeper.once('error', () => resolve());
  });
  let over = false;
  void ended.then(() => (over = true));
  keeper.unref();
  const deadline = Date.now() + bootWithinMs;
  while (!readBoot(folder)) {
    if (over || Date.now() > deadline) {
      const said = readFileSync(logPath, 'utf8').trim().slice(-1_000);
      throw new DomainError(
        'ProviderUnavailable',
        `Machine ${record.tags['slipway-machine']} (local, tier ${kind.name}) did not boot: ${said || 'it said nothing'}`,
        { hint: 'slipway provider check local' },
      );
    }
    await pause(lookMs);
  }
}

async function gone(
  processes: readonly (ProcessIdentity | undefined)[],
  id: string,
  whileAlive: () => void,
): Promise<void> {
  const deadline = Date.now() + killWithinMs;
  for (let helpAtMs = Date.now() + helpEveryMs; ;) {
    const living = processes.find((known) => known && isAlive(known));
    if (!living) return;
    if (Date.now() > helpAtMs) {
      whileAlive();
      helpAtMs = Date.now() + helpEveryMs;
    }
    if (Date.now() > deadline)
      throw new DomainError('ProviderUnavailable', `Process ${living.pid} of machine ${id} (local) outlives its kill.`);
    await pause(lookMs);
  }
}
