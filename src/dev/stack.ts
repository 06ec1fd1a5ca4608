import { setTimeout as pause } from 'node:timers/promises';
import { devEnvironment, type DevEnvironment } from '../config/dev-environment.ts';
import { readStackFile, type StackFile, type StackMode } from '../config/stack-file.ts';
import type { StateFolder } from '../config/state-folder.ts';
import { DomainError } from '../domain/failure.ts';
import { built } from './built.ts';
import type { Entries } from './entry-service.ts';
import { launchSupervisor } from './launch-supervisor.ts';
import { lockHolder } from '../host/lock.ts';
import { isAlive } from '../host/process-identity.ts';
import type { OnProgress } from './progress.ts';
import { defaultIdleMs, leaveSignal, liveStack } from './stack-life.ts';
import { onFolder, refuseForeign } from './state-folder-life.ts';
import { lockPath, type RunningStack } from './supervisor.ts';

/** A stack that answers. */
export interface Stack {
  /** The supervisor. */
  readonly pid: number;
  /** Base URL of the API. */
  readonly url: string;
  /** Path of the file with the API's bearer token, 0600. */
  readonly tokenFile: string;
  readonly temporal: { readonly address: string; readonly namespace: string; readonly ui: string | undefined };
  readonly mode: StackMode;
  /** ISO 8601. */
  readonly startedAt: string;
}

export interface StackOptions {
  readonly onProgress?: OnProgress;
  /** Use the server that `TEMPORAL_ADDRESS` or this profile names ('' = the default one). */
  readonly temporal?: { readonly profile: string };
  /** Stand-ins for the processes of the stack; a test gives them. */
  readonly entries?: Entries;
}

/** A process that died is started again within 5 s. */
const answerWithinMs = 10_000;
/** Worker and API are given up before this is over. */
const startWithinMs = 6 * 60_000;
const ownEntries = (): Entries => ({ worker: built('worker/main.js'), api: built('api/main.js') });

/**
 * The stack that holds the state folder, if one lives. A `stack.json` that a killed stack left counts for nothing.
 * Waits while it is starting.
 * @throws DomainError ProviderUnavailable when it lives and its API does not answer within 10 s (it may be restarting);
 *   InvalidRequest when the folder cannot be used
 */
export const findStack = (state: StateFolder): Promise<Stack | undefined> => onFolder(state, find(state));

async function find(state: StateFolder): Promise<Stack | undefined> {
  const began = performance.now();
  for (;;) {
    const file = await currentFile(state);
    if (file === undefined || !isAlive({ pid: file.pid, start: file.processStart })) return undefined;
    if (file.api !== undefined && (await answers(file.api.url))) return stackOf(state, file, file.api.url);
    if (performance.now() - began > (file.api === undefined ? startWithinMs : answerWithinMs)) {
      throw new DomainError(
        'ProviderUnavailable',
        `The stack of ${state.root} (process ${file.pid}) runs, and its API did not answer within ${Math.round((performance.now() - began) / 1000)} s.`,
        { hint: `See ${state.log}/api.log, or end it with \`slipway dev stop\`.` },
      );
    }
    await pause(50);
  }
}

/** What another version of slipway left is stale too, as long as nobody holds the folder. */
async function currentFile(state: StateFolder): Promise<StackFile | undefined> {
  try {
    return await readStackFile(state.stack);
  } catch (error) {
    if ((await lockHolder(lockPath(state))) === undefined) return undefined;
    throw error;
  }
}

const stackOf = (state: StateFolder, file: StackFile, url: string): Stack => ({
  pid: file.pid,
  url,
  tokenFile: state.token,
  temporal: { address: file.temporal.address, namespace: file.temporal.namespace, ui: file.temporal.ui },
  mode: file.mode,
  startedAt: file.startedAt,
});

/** Any answer will do: what it says is the API's affair. */
async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2_000), redirect: 'manual' });
    await response.body?.cancel();
    return true;
  } catch {
    return false;
  }
}

export interface EnsureOptions extends StackOptions {
  /**
   * `background`: ends when nothing was open for `idleMs`. `one-shot`: the same, and not idle while this process lives; end
   * it with `stopStack(state, { unlessBusy: true })`.
   */
  readonly mode: 'background' | 'one-shot';
  /** 5 min by default. */
  readonly idleMs?: number;
}

/**
 * Finds the stack, or starts one as a detached process and waits until it answers. Two callers at once get the same one.
 * @throws DomainError what kept it from starting
 */
export const ensureStack = (state: StateFolder, options: EnsureOptions): Promise<Ensured> =>
  onFolder(state, ensure(state, options));

interface Ensured {
  readonly stack: Stack;
  readonly started: boolean;
}

async function ensure(state: StateFolder, options: EnsureOptions): Promise<Ensured> {
  let told = false;
  for (;;) {
    const found = await findStack(state);
    if (found !== undefined) return { stack: found, started: false };
    const holder = await lockHolder(lockPath(state));
    if (holder === undefined) {
      // Before its log is made there.
      await refuseForeign(state);
      const outcome = await launchSupervisor(
        {
          state: state.root,
          mode: options.mode,
          idleMs: options.idleMs ?? defaultIdleMs,
          ...(options.entries ?? ownEntries()),
          ...(options.temporal === undefined ? {} : { temporal: options.temporal }),
        },
        state,
        options.onProgress ?? (() => undefined),
      );
      if (outcome === 'ready') {
        const stack = await findStack(state);
        if (stack !== undefined) return { stack, started: true };
      }
    } else if (!told) {
      told = true;
      options.onProgress?.({ step: 'stack', text: `Process ${holder.pid} holds ${state.root}: waiting for it.` });
    }
    await pause(50);
  }
}

export interface StopOptions {
  /** How long to wait for the end; 60 s by default. */
  readonly waitMs?: number;
  /** For the one who started a one-shot stack: leave it in the background when others have work open. */
  readonly unlessBusy?: boolean;
}

/**
 * Ends the stack in order (API, worker, Temporal); leases and machines stay for the next start.
 * @returns `absent` when none lives, `busy` when it stays because work is open (`unlessBusy`)
 * @throws DomainError Internal when it has not ended in time
 */
export async function stopStack(state: StateFolder, options: StopOptions = {}): Promise<'stopped' | 'absent' | 'busy'> {
  const waitMs = options.waitMs ?? 60_000;
  const holder = await lockHolder(lockPath(state));
  if (holder === undefined) return 'absent';
  const file = await readStackFile(state.stack);
  const leave = options.unlessBusy === true && file?.mode === 'one-shot';
  if (options.unlessBusy === true && !leave) return 'busy';
  process.kill(holder.pid, leave ? leaveSignal : 'SIGTERM');
  const until = performance.now() + waitMs;
  while (isAlive(holder)) {
    if (leave && (await readStackFile(state.stack))?.mode === 'background') return 'busy';
    if (performance.now() > until) {
      throw new DomainError(
        'Internal',
        `The stack of ${state.root} (process ${holder.pid}) has not ended within ${waitMs} ms.`,
        {
          hint: `See ${state.log}/stack.log; a second \`slipway dev stop\` hurries it.`,
        },
      );
    }
    await pause(20);
  }
  return 'stopped';
}

export interface ForegroundOptions extends StackOptions {
  /** Once, when everything answers: print the addresses here. */
  readonly onReady: (stack: Stack) => void;
  /** What happens on Ctrl-C and at the end. */
  readonly say: (text: string) => void;
  readonly environment?: DevEnvironment;
}

/**
 * Runs a stack in this process until Ctrl-C (or SIGTERM, SIGHUP), which ends it in order; a second one hurries.
 * @throws DomainError IdConflict when another stack holds the folder; Internal when one of its processes was given up
 */
export const runForeground = (state: StateFolder, options: ForegroundOptions): Promise<void> =>
  onFolder(state, live(state, options));

const live = (state: StateFolder, options: ForegroundOptions): Promise<void> =>
  liveStack(
    {
      state,
      mode: 'foreground',
      environment: options.environment ?? devEnvironment(),
      onProgress: options.onProgress ?? (() => undefined),
      entries: options.entries ?? ownEntries(),
      ...(options.temporal === undefined ? {} : { temporal: options.temporal }),
    },
    {
      idleMs: Infinity,
      held: () => true,
      say: options.say,
      onReady: (running: RunningStack) => {
        const file = running.file();
        if (file.api !== undefined) options.onReady(stackOf(state, file, file.api.url));
      },
    },
  );
