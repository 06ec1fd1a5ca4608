import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import ssh2 from 'ssh2';
import type { CommandStep } from '../../domain/bundle.ts';
import { DomainError } from '../../domain/failure.ts';
import { changeKeys } from '../../guest/authorized-keys.ts';
import { installFile } from '../../guest/files.ts';
import type { GuestFacts } from '../../guest/guest.ts';
import { GuestLink } from '../../guest/link.ts';
import { guestReset } from '../../guest/reset.ts';
import { baseFolder } from '../../guest/scripts.ts';
import { guestShell, refused } from '../../guest/shell.ts';
import { guestTasks } from '../../guest/tasks.ts';
import type { InventoryMachine } from '../../domain/inventory.ts';
import type { Claim } from './record.ts';

/** A standing machine, logged in to by the inventory's own key. */
export interface StandingGuest {
  /** Full login on the pinned key. @throws DomainError GuestUnreachable also when it takes longer */
  login(withinMs: number): Promise<GuestFacts>;
  /**
   * Makes it the claim's, unless another installation has it; remembers what it is like, then lets the lease in. Any number
   * of calls do the same. @returns the digest of what it remembers
   */
  take(claim: Claim): Promise<string>;
  /** Shuts the lease out, and undoes all of it. @returns what is left nevertheless, a line each; then it is the claim's still */
  giveBack(claim: Claim, commands: readonly (readonly string[])[]): Promise<readonly string[]>;
  /** Whether it was made anew since it was the claim's. */
  isNew(claim: Claim): Promise<boolean>;
  /** As it is: only the lease is shut out, and whatever mark of ours it has is taken off. */
  clear(claim: Claim): Promise<void>;
}

/** Beside the one where the lease's own tasks live. */
const baseOf = (user: string): string => `${baseFolder(user)}-static`;
const keepaliveMs = 5_000;
const commandWithinMs = 600_000;
/** Of what a failed command wrote. */
const shownBytes = 200;

const idOf = ({ key, tags }: Claim): string =>
  createHash('sha256')
    .update(JSON.stringify([tags['slipway-installation'], key]))
    .digest('hex');

/**
 * Runs `use` over one connection, which is closed after it.
 * @throws DomainError GuestUnreachable, SshAuthRefused, HostKeyMismatch; ProviderAuthRefused for a key that we cannot use
 */
export async function withStandingGuest<T>(
  machine: InventoryMachine,
  signal: AbortSignal,
  use: (guest: StandingGuest) => Promise<T>,
): Promise<T> {
  const { name, address, port, user, hostKey } = machine;
  const where = { id: name, name, address, port, user, hostKey };
  const link = new GuestLink(where, await identityOf(machine), { idleMs: 60_000, keepaliveMs });
  try {
    return await use(guestOver(link, signal));
  } finally {
    link.close();
  }
}

function guestOver(link: GuestLink, signal: AbortSignal): StandingGuest {
  const shell = guestShell(link, baseOf(link.address.user));
  const reset = guestReset(shell);
  const tasks = guestTasks(shell, (file, until) => installFile(shell, file, until));

  /** @returns the folders that a reset leaves alone, for they are ours */
  const hold = async (verb: 'hold' | 'leave' | 'free' | 'clear' | 'new', claim: Claim): Promise<readonly string[]> => {
    // Anew each time: a tenant who logs in as the same user can have changed it.
    await shell.renew('holder', signal);
    const { tags } = claim;
    const words = `${tags['slipway-machine']} of installation ${tags['slipway-installation']}\n`;
    const [line = []] = await shell.say('holder', [verb, idOf(claim)], () => [Buffer.from(words)], signal);
    const whose = line.slice(2).join(' ');
    if (line[0] === 'refused' && line[1] === 'taken')
      throw new DomainError('CapacityUnavailable', `is held by ${whose}`);
    if (line[0] === 'refused' && line[1] === 'stale') {
      const message = `it bears the mark of ${whose}, of which nothing is known here: nobody has made it clean`;
      throw new DomainError('CustomizeFailed', message, { details: { code: 'stale' } });
    }
    if (line[0] === 'refused') throw refused(link.address.name, line, `takes no ${verb}`);
    return line.slice(1);
  };
  const withdraw = async (claim: Claim): Promise<void> => {
    await shell.renew('file', signal);
    await changeKeys(shell, 'withdraw', claim.authorizedKeys, signal);
  };
  const run = async (claim: Claim, n: number, { title, command }: CommandStep): Promise<string | undefined> => {
    const key = `${idOf(claim)}/reset/${n}`;
    const { limitMs, allowFailure, secretEnv: _, ...spec } = command;
    let said = '';
    await shell.renew('task', signal);
    await tasks.launch(key, { ...spec, limitMs }, signal);
    const data = async (stream: string, _offset: number, bytes: Uint8Array): Promise<void> => {
      if (stream === 'stderr') said = (said + Buffer.from(bytes).toString()).slice(-shownBytes);
    };
    const { exitCode } = await tasks.follow(key, { stdout: 0, stderr: 0 }, { data, alive: () => undefined }, signal);
    signal.throwIfAborted();
    // It stays there until the reset: a second try finds how it ended.
    if (exitCode === 0 || allowFailure) return undefined;
    return `reset command ${n + 1} (${title}) exited ${exitCode ?? 'unknown'} ${said.trim()}`.trim();
  };

  return {
    async login(withinMs) {
      const soon = AbortSignal.timeout(withinMs);
      try {
        return await shell.facts(AbortSignal.any([signal, soon]));
      } catch (error) {
        if (!soon.aborted || signal.aborted || error instanceof DomainError) throw error;
        const { name, address, port } = link.address;
        const message = `${name} (${address} port ${port}) let nobody in within ${withinMs / 1000} s`;
        throw new DomainError('GuestUnreachable', message, { cause: error });
      }
    },
    async take(claim) {
      const ours = await hold('hold', claim);
      // An earlier try may have got as far as letting the lease in: that is not to be remembered as the machine's own.
      await withdraw(claim);
      const baseline = await reset.baseline([...claim.reset.leaves, ...ours], signal);
      await changeKeys(shell, 'authorize', claim.authorizedKeys, signal);
      return baseline;
    },
    async giveBack(claim, commands) {
      const ours = await hold('leave', claim);
      await withdraw(claim);
      if (claim.baseline !== undefined) {
        const failed: string[] = [];
        const steps = [...claim.reset.commands, ...inventorySteps(commands)];
        for (const [n, step] of steps.entries()) {
          const why = await run(claim, n, step);
          if (why !== undefined) failed.push(why);
        }
        if (failed.length > 0) return failed;
        const left = await reset.reset(claim.baseline, [...claim.reset.leaves, ...ours], signal);
        if (left.length > 0) return left;
      }
      await hold('free', claim);
      return [];
    },
    async isNew(claim) {
      try {
        await hold('new', claim);
        return true;
      } catch (error) {
        if (error instanceof DomainError && error.details?.['code'] === 'old') return false;
        throw error;
      }
    },
    async clear(claim) {
      await withdraw(claim);
      await hold('clear', claim);
    },
  };
}

/** The inventory's own commands, after the bundle's. */
const inventorySteps = (commands: readonly (readonly string[])[]): readonly CommandStep[] =>
  commands.map((command) => ({
    title: command.join(' '),
    command: { command, limitMs: commandWithinMs, allowFailure: false },
  }));

/** A private key that others can read is none. */
async function identityOf({ name, identityFile }: InventoryMachine): Promise<string> {
  const wrong = (why: string, cause?: unknown): DomainError =>
    new DomainError('ProviderAuthRefused', `The key ${identityFile} of machine ${name} ${why}.`, {
      hint: 'identityFile of the inventory: an OpenSSH private key without a passphrase, of mode 0600.',
      ...(cause === undefined ? {} : { cause }),
    });
  try {
    const { mode } = await stat(identityFile);
    if ((mode & 0o077) !== 0) throw wrong(`can be read by others (mode ${(mode & 0o777).toString(8)})`);
    const text = await readFile(identityFile, 'utf8');
    const parsed = ssh2.utils.parseKey(text);
    if (parsed instanceof Error) throw wrong(`is of no use (${parsed.message})`);
    return text;
  } catch (error) {
    if (error instanceof DomainError) throw error;
    throw wrong(`cannot be read (${(error as NodeJS.ErrnoException).code ?? String(error)})`, error);
  }
}
