import { createHash } from 'node:crypto';
import { changeKeys } from './authorized-keys.ts';
import { fetchFile } from './fetch.ts';
import { guestHostKey } from './host-key.ts';
import { installFile } from './files.ts';
import type { Guest, GuestAddress, Guests } from './guest.ts';
import { GuestLink } from './link.ts';
import { guestReset } from './reset.ts';
import { servedKey } from './served-key.ts';
import { baseFolder } from './scripts.ts';
import { guestShell } from './shell.ts';
import { guestTasks } from './tasks.ts';

export interface GuestsOptions {
  /** An unused connection is closed after this; 5 min by default. */
  readonly idleMs?: number;
  /** How often a guest is asked whether it is there (a loss after three times); 5 s by default. */
  readonly keepaliveMs?: number;
  /** Where the protocol lives on the guest, when not in its usual place; no character that a shell takes for its own. */
  readonly base?: string;
}

const defaultIdleMs = 300_000;
const defaultKeepaliveMs = 5_000;

interface Known {
  readonly fingerprint: string;
  readonly link: GuestLink;
  readonly guest: Guest;
}

/** Guests over SSH, one kept connection for each incarnation of a machine. */
export function createGuests(options: GuestsOptions = {}): Guests {
  const known = new Map<string, Known>();
  return {
    at(address, clientKey) {
      const fingerprint = fingerprintOf(address, clientKey);
      const before = known.get(address.id);
      if (before?.fingerprint === fingerprint) {
        before.link.address = address;
        return before.guest;
      }
      // Reloaded or moved: another key or place is another incarnation.
      before?.link.close();
      // Only machines with a connection are kept in mind: a worker sees many come and go.
      const changed = (open: boolean): void => {
        if (open && !known.has(address.id)) known.set(address.id, made);
        else if (!open && known.get(address.id) === made) known.delete(address.id);
      };
      const idleMs = options.idleMs ?? defaultIdleMs;
      const keepaliveMs = options.keepaliveMs ?? defaultKeepaliveMs;
      const link = new GuestLink(address, clientKey, { idleMs, keepaliveMs, changed });
      const made: Known = { fingerprint, link, guest: guestOver(link, options.base ?? baseFolder(address.user)) };
      known.set(address.id, made);
      return made.guest;
    },
    servedKey,
    async close() {
      for (const { link } of known.values()) link.close();
      known.clear();
    },
  };
}

function guestOver(link: GuestLink, base: string): Guest {
  const shell = guestShell(link, base);
  const install: Guest['installFile'] = (file, signal) => installFile(shell, file, signal);
  return {
    probe: (signal) => shell.facts(signal),
    ...guestTasks(shell, install),
    installFile: install,
    fetchFile: (path, sink, signal) => fetchFile(shell, path, sink, signal),
    authorizeKeys: (keys, signal) => changeKeys(shell, 'authorize', keys, signal),
    withdrawKeys: (keys, signal) => changeKeys(shell, 'withdraw', keys, signal),
    ...guestHostKey(shell),
    ...guestReset(shell),
  };
}

const fingerprintOf = (address: GuestAddress, clientKey: string): string =>
  createHash('sha256')
    .update(JSON.stringify([address.address, address.port, address.user, address.hostKey, clientKey]))
    .digest('hex');
