import type { ChildProcess } from 'node:child_process';
import type { MachineRecord, TierName } from './record.ts';

/** Who logs in, as the machine's own user database says. */
export interface Account {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
  readonly shell: string;
}

/** What one SSH channel wants to run. */
export interface Run {
  readonly account: Account;
  /** For the account's shell; none is an interactive one. */
  readonly command?: string;
  /** From the client's `env` requests. */
  readonly env: Readonly<Record<string, string>>;
  /** What the SSH server says of the connection (`SSH_CLIENT` …). */
  readonly base: Readonly<Record<string, string>>;
  readonly terminal?: { readonly name: string; readonly rows: number; readonly columns: number };
}

/** How a machine stands, from what the host shows now. */
export type Life = 'pending' | 'running' | 'stopped';

/** One way to make machines out of a host. Every method may be called again after a crash in its middle. */
export interface Tier {
  readonly name: TierName;
  /** Who logs in with the injected keys. */
  readonly user: string;
  /**
   * Makes the machine and waits until it runs; what a former try left is removed first.
   * @throws DomainError ProviderUnavailable with what the host refused
   */
  make(record: MachineRecord): Promise<void>;
  /** Takes over a machine that another process made. @param onBoot is called when it restarts or ends by itself */
  adopt(record: MachineRecord, onBoot: () => void): Promise<void>;
  look(id: string): Life;
  /** Small facts for people. */
  facts(record: MachineRecord): Readonly<Record<string, string>>;
  account(record: MachineRecord, user: string): Promise<Account | undefined>;
  /** Lines of the account's own `~/.ssh/authorized_keys` inside. */
  authorizedKeys(record: MachineRecord, account: Account): Promise<readonly string[]>;
  /** With pipes for all three streams, and a session of its own, which outlives this process. */
  spawn(record: MachineRecord, run: Run): ChildProcess;
  /** Kills every process of the machine and waits until they are gone; what is on its disk stays. @throws as `make` */
  stop(record: MachineRecord): Promise<void>;
  /** Boots a stopped one again, and waits until it runs. @throws as `make` */
  start(record: MachineRecord): Promise<void>;
  /** The end of what it has said on its console. */
  console(id: string, maxBytes: number): string;
  /** Kills every process of the machine and waits until they are gone. Its folder is left to the caller. */
  destroy(record: MachineRecord): Promise<void>;
}
