import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { DomainError } from '../../domain/failure.ts';
import { authorizedKeysIn } from './guest-files.ts';
import type { LocalPaths } from './local-paths.ts';
import { cookieName, killByCookie, marked } from './plain-processes.ts';
import { machineFolder, type MachineRecord } from './record.ts';
import { removeTree } from './remove-tree.ts';
import { shellRun } from './shell-run.ts';
import type { Tier } from './tier.ts';

const killWithinMs = 10_000;

/**
 * Machines of tier `plain`: an ordinary user's processes with a home folder and an address of their own, for hosts that
 * give no namespaces. The machine is always up; there is nothing to reboot, and its boot id is the host's.
 */
export function createPlainTier(paths: LocalPaths): Tier {
  const { username, uid, gid, shell } = whoWeAre();
  const homeOf = (id: string): string => join(machineFolder(paths, id), 'home');
  return {
    name: 'plain',
    user: username,

    async make({ id }) {
      // Its jobs could do to the host whatever root can.
      if (uid === 0)
        throw new DomainError('ProviderUnavailable', 'Provider local: tier plain refuses to run as root.', {
          hint: 'Use an ordinary user, or tier root.',
        });
      await kill(id);
      await removeTree(homeOf(id));
      await mkdir(homeOf(id), { recursive: true, mode: 0o700 });
    },

    adopt: async () => undefined,
    look: (id) => (existsSync(homeOf(id)) ? 'running' : 'stopped'),
    facts: ({ id }) => ({ home: homeOf(id) }),

    account: async ({ id }, user) =>
      user === username ? { name: username, uid, gid, home: homeOf(id), shell } : undefined,

    authorizedKeys: (_record, account) => authorizedKeysIn(account.home),

    spawn(record: MachineRecord, run) {
      const { words, env } = shellRun(run);
      const [program = '/bin/sh', ...rest] = marked(record.id, words);
      return spawn(program, rest, {
        cwd: homeOf(record.id),
        detached: true,
        env: { ...env, SLIPWAY_ADDRESS: record.address, [cookieName]: record.id },
      });
    },

    stop: ({ id }) => kill(id),
    // Nothing of its own boots.
    start: async () => undefined,
    console: () => '',
    destroy: ({ id }) => kill(id),
  };
}

/** A user that no database knows has a number still, and one without a login may run what we run. */
function whoWeAre(): { readonly username: string; readonly uid: number; readonly gid: number; readonly shell: string } {
  const uid = process.getuid?.() ?? -1;
  const gid = process.getgid?.() ?? -1;
  try {
    const { username, shell } = userInfo();
    const usable = shell !== null && shell !== '' && !/\/(nologin|false)$/.test(shell);
    return { username, uid, gid, shell: usable ? shell : '/bin/sh' };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_SYSTEM_ERROR') throw error;
    return { username: `user${uid}`, uid, gid, shell: '/bin/sh' };
  }
}

async function kill(id: string): Promise<void> {
  const left = await killByCookie(id, killWithinMs);
  if (left.length === 0) return;
  throw new DomainError(
    'ProviderUnavailable',
    `Processes ${left.join(', ')} of machine ${id} (local) outlive their kill.`,
  );
}
