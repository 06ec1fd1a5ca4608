import { join } from 'node:path';
import type { StateFolder } from '../config/state-folder.ts';
import { spawnBound, type Tie } from './bound-process.ts';
import type { ChildrenFile } from './children-file.ts';
import type { OnProgress } from './progress.ts';
import { awaitReadyFile, forgetReady, type ReadyFile } from './ready-file.ts';
import { Service } from './service.ts';

/** The scripts of the stack's own processes, absolute. */
export interface Entries {
  readonly worker: string;
  readonly api: string;
}

export interface EntryContext {
  readonly state: StateFolder;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly tie: Tie;
  readonly children: ChildrenFile;
  readonly onProgress: OnProgress;
}

const readyWithinMs = 60_000;
/** A worker gives running activities this long to detach. */
const stopWithinMs = 15_000;

/** A process of ours, which says that it answers by writing `run/<name>.json`. */
export function entryService(
  context: EntryContext,
  name: 'worker' | 'api',
  entry: string,
  onReady: (file: ReadyFile) => Promise<void>,
): Service {
  const { state, env, tie, children, onProgress } = context;
  const path = join(state.run, `${name}.json`);
  return new Service({
    name,
    log: join(state.log, `${name}.log`),
    onProgress,
    readyWithinMs,
    stopWithinMs,
    launch: async (log) => {
      await forgetReady(path);
      const started = await spawnBound({
        command: process.execPath,
        args: ['--enable-source-maps', entry],
        env,
        log,
        tie,
      });
      await children.note(name, started.pid);
      return started;
    },
    awaitReady: async (signal) => onReady(await awaitReadyFile(path, signal)),
  });
}
