import { setTimeout as startTimer } from 'node:timers';
import { setTimeout } from 'node:timers/promises';
import { DomainError } from '../domain/failure.ts';
import { abortable } from './abortable.ts';
import { connect, isNoRoom, type Connection, type Execution } from './connection.ts';
import type { GuestAddress } from './guest.ts';

export interface LinkOptions {
  /** An unused connection is closed after this. */
  readonly idleMs: number;
  /** How often the guest is asked whether it is there; three without an answer are a loss. */
  readonly keepaliveMs: number;
  /** Called when the a connection is there (true) and when the last one has gone or could not be made (false). */
  readonly changed?: (open: boolean) => void;
}

/** sshd's MaxSessions is 10 by default: 8, so that a person can still look in. */
const channelsMax = 8;
/** Channels that stay open (following); a kill must never wait for one of them. */
const longChannelsMax = 6;

/**
 * sshd counts a session until it has tidied up, which it does only after all that has arrived: a session that was closed
 * just before still counts when the next one is opened.
 */
const roomWithinMs = 10_000;

type Kind = 'short' | 'long';

interface Held {
  readonly connection: Connection;
  short: number;
  long: number;
  idle: NodeJS.Timeout | undefined;
}

interface Connecting {
  readonly done: Promise<void>;
  readonly stop: AbortController;
  waiters: number;
}

/**
 * Keeps one connection to one incarnation of a machine: connects at the first use and again after a loss, hands out at
 * most 8 channels at once and queues the rest; more than 6 that stay open get a further connection.
 */
export class GuestLink {
  /** Of the next connection; what it may be in place of another is the key that it changes to. */
  address: GuestAddress;
  readonly #clientKey: string;
  readonly #options: LinkOptions;
  readonly #held = new Set<Held>();
  readonly #waiting = new Set<() => void>();
  #connecting: Connecting | undefined;
  #closed = false;

  constructor(address: GuestAddress, clientKey: string, options: LinkOptions) {
    this.address = address;
    this.#clientKey = clientKey;
    this.#options = options;
  }

  /**
   * Runs `use` with a command's channel. When `signal` aborts, the channel is closed and the call rejects with its reason.
   * @param line must be trivial for any login shell
   * @throws DomainError GuestUnreachable, SshAuthRefused, HostKeyMismatch
   */
  async exec<T>(line: string, kind: Kind, signal: AbortSignal, use: (execution: Execution) => Promise<T>): Promise<T> {
    const execution = await this.open(line, kind, signal);
    try {
      return await abortable(use(execution), signal);
    } finally {
      execution.dismiss();
    }
  }

  /** As `exec`, but the caller dismisses the channel; `signal` bounds the opening only. */
  async open(line: string, kind: Kind, signal: AbortSignal): Promise<Execution> {
    const patientUntil = performance.now() + roomWithinMs;
    for (let again = false; ;) {
      const held = await this.#take(kind, signal);
      try {
        const execution = await held.connection.exec(line);
        // The slot is free when the guest has closed its side too.
        void execution.done.then(() => this.#give(held, kind));
        return execution;
      } catch (error) {
        this.#give(held, kind);
        if (isNoRoom(error) && performance.now() < patientUntil) {
          await setTimeout(20, undefined, { signal });
        } else if (again || held.connection.isOpen()) {
          throw error;
        } else {
          // A kept connection may turn out to be dead at its next use: then once more over a new one.
          again = true;
        }
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#connecting?.stop.abort(
      new DomainError('GuestUnreachable', `The connection to ${this.address.name} was closed`),
    );
    for (const held of this.#held) {
      clearTimeout(held.idle);
      held.connection.close();
    }
    this.#wake();
  }

  async #take(kind: Kind, signal: AbortSignal): Promise<Held> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#closed) throw new DomainError('GuestUnreachable', `The connection to ${this.address.name} was closed`);
      const open = [...this.#held].filter((held) => held.connection.isOpen());
      const room = open.find(
        (held) => held.short + held.long < channelsMax && (kind === 'short' || held.long < longChannelsMax),
      );
      if (room) {
        clearTimeout(room.idle);
        room[kind] += 1;
        return room;
      }
      if (open.length === 0 || kind === 'long') await this.#connect(signal);
      else await this.#turn(signal);
    }
  }

  #give(held: Held, kind: Kind): void {
    held[kind] -= 1;
    if (held.short + held.long === 0) {
      clearTimeout(held.idle);
      held.idle = startTimer(() => held.connection.close(), this.#options.idleMs).unref();
    }
    this.#wake();
  }

  #wake(): void {
    for (const waiter of this.#waiting) waiter();
  }

  #turn(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake, { once: true });
    });
  }

  /** One attempt for all who wait; it is given up when the last of them is. */
  async #connect(signal: AbortSignal): Promise<void> {
    const connecting = (this.#connecting ??= this.#begin());
    connecting.waiters += 1;
    try {
      await abortable(connecting.done, signal);
    } finally {
      connecting.waiters -= 1;
      if (connecting.waiters === 0 && signal.aborted) {
        connecting.stop.abort(signal.reason);
        if (this.#connecting === connecting) this.#connecting = undefined;
      }
    }
  }

  #begin(): Connecting {
    const stop = new AbortController();
    const done = connect(this.address, this.#clientKey, this.#options.keepaliveMs, stop.signal).then((connection) =>
      this.#hold(connection),
    );
    const connecting: Connecting = { done, stop, waiters: 0 };
    const over = (): void => {
      if (this.#connecting === connecting) this.#connecting = undefined;
      if (this.#held.size === 0) this.#options.changed?.(false);
    };
    done.then(over, over);
    return connecting;
  }

  #hold(connection: Connection): void {
    const held: Held = { connection, short: 0, long: 0, idle: undefined };
    this.#held.add(held);
    this.#options.changed?.(true);
    void connection.closed.then(() => {
      clearTimeout(held.idle);
      this.#held.delete(held);
      if (this.#held.size === 0) this.#options.changed?.(false);
      this.#wake();
    });
    if (this.#closed) connection.close();
  }
}
