import { rm } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { DevEnvironment } from '../config/dev-environment.ts';
import { DomainError } from '../domain/failure.ts';
import { findOnPath, isExecutable } from '../host/find-on-path.ts';
import { takeLock } from '../host/lock.ts';
import type { OnProgress } from './progress.ts';
import { buildTemporal, installPlainTemporal, plainVersion } from './temporal-build.ts';
import { cachedServer, moveIntoCache, workFolder, type ServerPlatform } from './temporal-cache.ts';
import { cliUrl, downloadArchive, downloadService } from './temporal-download.ts';
import { wantedCli } from './temporal-version.ts';

export interface FetchOptions {
  readonly environment: DevEnvironment;
  readonly platform: ServerPlatform;
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal;
  readonly downloadService?: string;
  /** The sentence that says how to get a server otherwise. */
  readonly ways: string;
}

export interface FetchedCli {
  readonly path: string;
  readonly from: 'cache' | 'download' | 'build';
}

/**
 * Puts a Temporal CLI into the cache, by download, else by Go. One process at a time does it; another waits and takes what
 * the first has made.
 */
export async function fetchTemporal(options: FetchOptions): Promise<FetchedCli> {
  const { environment, platform, onProgress } = options;
  const signal = options.signal ?? new AbortController().signal;
  const target = cachedServer(environment.cacheFolder, wantedCli, platform);
  let told = false;
  for (;;) {
    const lock = await takeLock(`${target}.lock`);
    if (!lock.held) {
      if (!told) {
        onProgress({
          step: 'temporal',
          text: `Process ${lock.by.pid} is getting the Temporal CLI already: waiting for it.`,
        });
      }
      told = true;
      await pause(300, undefined, { signal });
      continue;
    }
    try {
      if (isExecutable(target)) return { path: target, from: 'cache' };
      return await fetchLocked(options, target, signal);
    } finally {
      await rm(`${target}.part`, { recursive: true, force: true });
      await lock.release();
    }
  }
}

async function fetchLocked(options: FetchOptions, target: string, signal: AbortSignal): Promise<FetchedCli> {
  const { environment, platform, onProgress } = options;
  const env = environment.variables;
  const refusals: string[] = [];
  const attempt = async (name: string, to: string, make: (folder: string) => Promise<string>): Promise<boolean> => {
    try {
      await moveIntoCache(await make(await workFolder(environment.cacheFolder, target)), to);
      return true;
    } catch (error) {
      signal.throwIfAborted();
      const text = `${name}: ${reason(error)}`;
      refusals.push(text);
      onProgress({ step: 'temporal', text, warning: true });
      return false;
    }
  };

  const service = options.downloadService ?? downloadService;
  const url = cliUrl(service, wantedCli, platform);
  const what = `Temporal CLI ${wantedCli}`;
  const download = (folder: string) => downloadArchive({ url, what, folder, env, onProgress, signal });
  if (await attempt('Download refused', target, download)) return { path: target, from: 'download' };

  const go = findOnPath('go', environment.path);
  if (go === undefined) refusals.push('Go is not on the PATH');
  else {
    onProgress({ step: 'build', text: 'Building it with Go, once (about 5 min on 2 cores)' });
    const build = (folder: string) => buildTemporal({ go, folder, env, onProgress, signal });
    if (await attempt('The build failed', target, build)) return { path: target, from: 'build' };
    onProgress({ step: 'build', text: `Building the older ${plainVersion} instead (about 3 min on 2 cores)` });
    const plain = cachedServer(environment.cacheFolder, plainVersion, platform);
    const install = (folder: string) => installPlainTemporal({ go, folder, env, onProgress, signal });
    if (await attempt('The older build failed', plain, install)) return { path: plain, from: 'build' };
  }
  throw new DomainError(
    'ProviderUnavailable',
    `There is no Temporal dev server here, and none could be made. ${refusals.join('. ')}.`,
    {
      hint: options.ways,
    },
  );
}

/** fetch says only "fetch failed": what it was stands in the cause. */
function reason(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  return cause instanceof Error ? `${error.message} (${cause.message})` : error.message;
}
