/** What a task runs. `command` is an argv (never joined into a shell string) or a text for `sh`. */
export interface TaskSpec {
  readonly command: readonly string[] | { readonly shell: string };
  readonly env?: Readonly<Record<string, string>>;
  /** Environment variable → name of a secret (operator's, or the caller's sealed one); the value never enters history. */
  readonly secretEnv?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  /** The guest's user to run as; the login user when absent. */
  readonly user?: string;
  readonly stdin?: { readonly text: string } | { readonly blob: string };
  /** How long the command may run; kept by the wrapper in the guest. */
  readonly limitMs?: number;
  /** From TERM to KILL. */
  readonly graceMs?: number;
}

export const defaultGraceMs = 10_000;

export const streams = ['stdout', 'stderr'] as const;
export type Stream = (typeof streams)[number];

export interface StreamResult {
  /** What the command wrote; at least so much, where the guest had no room for it. */
  readonly bytes: number;
  /** What is stored, from the beginning on. */
  readonly keptBytes: number;
  /** Not all of it is stored. */
  readonly cut: boolean;
  /** Of the kept bytes, hex. */
  readonly sha256: string;
}

export const taskEndStates = ['exited', 'cancelled', 'timedOut', 'lost'] as const;
export const taskStates = ['pending', 'running', ...taskEndStates] as const;
export type TaskState = (typeof taskStates)[number];
export type TaskEndState = (typeof taskEndStates)[number];

/** One shape for good and bad ends. `exitCode` is null when it is not known (`lost`, or never started). */
export interface TaskResult {
  readonly taskId: string;
  readonly state: TaskEndState;
  readonly command: TaskSpec['command'];
  readonly exitCode: number | null;
  /** Only where we sent it: a shell cannot tell `exit 137` from SIGKILL. */
  readonly signal: 'TERM' | 'KILL' | null;
  readonly timedOut: boolean;
  readonly cancelled: boolean;
  readonly lost: boolean;
  /** Why it, or some of its output, is lost. */
  readonly reason?: string;
  /** ISO 8601, by the worker's clock; null when it never started. */
  readonly startedAt: string | null;
  readonly durationMs: number;
  readonly stdout: StreamResult;
  readonly stderr: StreamResult;
}

/** Sizes and the last bytes of a running task's output, as signalled to its workflow. */
export interface OutputAdvanced {
  readonly stdout: { readonly bytes: number; readonly tail: string };
  readonly stderr: { readonly bytes: number; readonly tail: string };
}

/** sha256 of nothing, for a task that never ran. */
export const emptySha256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
export const noOutput: StreamResult = { bytes: 0, keptBytes: 0, cut: false, sha256: emptySha256 };

/**
 * How long to wait before the next `outputAdvanced` of a task of this age: fast enough for a person who looks on, slow
 * enough that a chatty hour adds fewer than 700 events to the task's history (4 a signal).
 */
export function signalGapMs(ageMs: number): number {
  if (ageMs < 10_000) return 1_000;
  if (ageMs < 60_000) return 5_000;
  if (ageMs < 300_000) return 15_000;
  return 30_000;
}
