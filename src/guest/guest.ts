import type { Stream, TaskSpec } from '../domain/task.ts';

/** Where a guest is and how it is proven to be itself. */
export interface GuestAddress {
  /** Identity of the incarnation; one connection is kept for each. */
  readonly id: string;
  /** What people know the machine by. */
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly user: string;
  /** Pinned OpenSSH public key, `ssh-ed25519 AAAA…`. */
  readonly hostKey: string;
  /** While the guest changes to this one: it counts as well, from the next connection on. */
  readonly nextHostKey?: string;
}

/** What `true` at first login taught us. */
export interface GuestFacts {
  readonly kernel: string;
  readonly hostname: string;
  readonly bootId: string;
}

/** The command with its secrets resolved, as it travels to the guest on stdin. */
export interface LaunchSpec extends Omit<TaskSpec, 'secretEnv' | 'stdin'> {
  /** Secret values: on stdin only, never in the stored command, never in argv. */
  readonly secrets?: Readonly<Record<string, string>>;
  /** A local file streamed to the task's stdin file before launch. */
  readonly stdinFile?: { readonly path: string; readonly bytes: number };
}

export type GuestTaskState =
  /** No launch has arrived. */
  | 'absent'
  | 'running'
  | 'exited'
  /** The wrapper died, the command lives. */
  | 'orphan'
  /** The guest booted since the launch. */
  | 'rebooted'
  /** Wrapper and command are gone without a record. */
  | 'lost'
  /** Cleaned: a tombstone stands. */
  | 'gone';

export interface TaskPoll {
  readonly state: GuestTaskState;
  /** Only with `exited`. 128 + n for a signal, as a shell says it. */
  readonly exitCode: number | null;
  readonly timedOut: boolean;
  readonly cancelled: boolean;
  /** The last signal that *we* sent, if any. */
  readonly signal: 'TERM' | 'KILL' | null;
  /** Whether the guest booted since the launch (an exit may still be recorded). */
  readonly rebooted: boolean;
  /** By the guest's monotonic view of the run; null until it has ended. */
  readonly durationMs: number | null;
  /** What the command has written so far, in all. */
  readonly size: Readonly<Record<Stream, number>>;
  /** Bytes beyond `size` that the guest had no room for, at least so many; null when it kept all. */
  readonly lost: Readonly<Record<Stream, number | null>>;
}

export interface FileSpec {
  /** A stable id of this installation, so that a retry resumes its own part file. */
  readonly id: string;
  readonly source:
    | { readonly bytes: Uint8Array }
    | { readonly path: string }
    /** `idleMs`: how long its server may send nothing; 30 s when absent. */
    | { readonly url: string; readonly idleMs?: number };
  /** Absolute on the guest, or `~/…`. */
  readonly path: string;
  /** Hex. Demanded for what is not given as bytes; checked on the guest before the target is replaced. */
  readonly sha256?: string;
  /** Octal text such as `0755`. */
  readonly mode?: string;
  readonly owner?: string;
  readonly group?: string;
  /** Make missing parent folders. */
  readonly parents?: boolean;
  /** The source is a tar archive: its tree takes this path, over what is there. The archive's modes stay. */
  readonly tree?: boolean;
}

export interface InstalledFile {
  readonly path: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What a file or a folder of a guest was when it was fetched. */
export interface FetchedFile {
  readonly path: string;
  /** Of the file, or of the archive. */
  readonly bytes: number;
  /** Octal text. */
  readonly mode: string;
  /** It is a folder: what was written is a tar archive of it. */
  readonly tree: boolean;
  /** A file in the folder changed while it was read. */
  readonly changed: boolean;
  /** Of a file, by the guest itself: other than that of what was written, it changed while it was read. */
  readonly sha256?: string;
}

/** Where fetched bytes go. */
export interface FetchSink {
  /** What an earlier call got: it is gone on with when the file is still the same by its stamp. */
  readonly had?: { readonly stamp: string; readonly bytes: number };
  /** Before the first byte: what was there beyond `from` counts no more. A folder has no stamp: it is read anew. */
  begin(stamp: string | undefined, from: number): Promise<void>;
  write(offset: number, bytes: Uint8Array): Promise<void>;
}

/**
 * One guest over one kept, pinned connection. All methods reconnect when the connection was lost; each throws
 * `GuestUnreachable` (retryable), `SshAuthRefused` or `HostKeyMismatch` when it cannot.
 */
export interface Guest {
  /** Full login and `true` on the pinned key. */
  probe(signal: AbortSignal): Promise<GuestFacts>;

  /** Starts the task unless it was started before; answers how it stands. Any number of calls run it once. */
  launch(taskKey: string, spec: LaunchSpec, signal: AbortSignal): Promise<TaskPoll>;

  /**
   * Follows from `offsets` and calls `onData` in order for each stream with the offset of the chunk's first byte, awaiting
   * it (back-pressure), until the task is no longer running or `signal` aborts (then returns the last poll). `onAlive` is
   * called at least every 2 s while the channel answers, with or without output.
   */
  follow(
    taskKey: string,
    offsets: Readonly<Record<Stream, number>>,
    on: {
      readonly data: (stream: Stream, offset: number, bytes: Uint8Array) => Promise<void>;
      readonly alive: () => void;
    },
    signal: AbortSignal,
  ): Promise<TaskPoll>;

  /** TERM to the whole task, after `graceMs` KILL, over a channel of its own. Before the launch: a tombstone prevents it. */
  kill(taskKey: string, graceMs: number, why: 'cancelled' | 'timedOut', signal: AbortSignal): Promise<TaskPoll>;

  /** Frees the guest's spool up to these offsets: they are stored here. */
  release(taskKey: string, offsets: Readonly<Record<Stream, number>>, signal: AbortSignal): Promise<void>;

  /** Removes what a finished task left, behind a tombstone against a late duplicate launch. */
  clean(taskKey: string, signal: AbortSignal): Promise<void>;

  /**
   * Has the guest make an ed25519 host key beside the one that it serves; the private half stays there. Any number of calls
   * make one. @returns its public half, or why the guest can change to none
   */
  makeHostKey(signal: AbortSignal): Promise<{ readonly next: string } | { readonly kept: string }>;
  /**
   * Has the guest's sshd serve that key in place of the one before; who is logged in stays so. It may take a moment more.
   * @returns why it goes on with the one before, if it does
   * @throws DomainError CustomizeFailed when nobody can say which of both it will serve
   */
  switchHostKey(
    keys: { readonly before: string; readonly next: string },
    signal: AbortSignal,
  ): Promise<string | undefined>;

  installFile(file: FileSpec, signal: AbortSignal): Promise<InstalledFile>;

  /**
   * Reads a file, or a folder as a tar archive, of any size; links are followed.
   * @throws DomainError NotFound; InvalidRequest when it is not readable, or neither file nor folder
   */
  fetchFile(path: string, sink: FetchSink, signal: AbortSignal): Promise<FetchedFile>;

  /** Adds keys to the login user's `authorized_keys`, each once. */
  authorizeKeys(keys: readonly string[], signal: AbortSignal): Promise<void>;
  /** Takes them out again; who is logged in stays so. */
  withdrawKeys(keys: readonly string[], signal: AbortSignal): Promise<void>;

  /**
   * Remembers on the guest what it is like before its first tenant. @param leaveAlone folders that are not looked at
   * @returns a digest of what was remembered, by which a later reset knows that nobody changed it
   */
  baseline(leaveAlone: readonly string[], signal: AbortSignal): Promise<string>;

  /**
   * Ends what runs and takes away what is there since the baseline: processes, mounts, files, users, keys, crontabs, units;
   * restores what was changed. Any number of calls, cut anywhere, do the same.
   * @returns what is different nevertheless, a line each; empty when the next tenant may come
   */
  reset(baseline: string, leaveAlone: readonly string[], signal: AbortSignal): Promise<readonly string[]>;
}

/** Keeps one connection per machine for the life of the process, and closes what is idle. */
export interface Guests {
  /** @param clientKey OpenSSH private key (PEM) of ours for this machine */
  at(address: GuestAddress, clientKey: string): Guest;
  /**
   * The ed25519 host key of whoever answers there. Nothing vouches for it, and nobody logs in.
   * @throws DomainError GuestUnreachable; HostKeyMismatch for an SSH server without such a key
   */
  servedKey(address: GuestAddress, signal: AbortSignal): Promise<string>;
  close(): Promise<void>;
}
