import { DomainError } from '../domain/failure.ts';
import type { DevEnvironment } from '../config/dev-environment.ts';
import { findOnPath, isExecutable } from '../host/find-on-path.ts';
import type { OnProgress } from './progress.ts';
import { runCommand } from './run-command.ts';
import { cachedServer, serverPlatform } from './temporal-cache.ts';
import { fetchTemporal } from './temporal-fetch.ts';
import { plainVersion } from './temporal-build.ts';
import { isRecentEnough, leastCli, parseTemporalVersion, wantedCli, type TemporalVersion } from './temporal-version.ts';

export interface TemporalCli {
  readonly path: string;
  readonly version: TemporalVersion;
  readonly from: 'SLIPWAY_TEMPORAL_CLI' | 'PATH' | 'cache' | 'download' | 'build';
}

export interface FindOptions {
  readonly environment: DevEnvironment;
  readonly onProgress: OnProgress;
  readonly signal?: AbortSignal;
  /** Where the official archive is asked for; a test gives one on loopback. */
  readonly downloadService?: string;
}

const ways = `Put a Temporal CLI ≥ ${leastCli} on the PATH (https://docs.temporal.io/cli), or name it in SLIPWAY_TEMPORAL_CLI, or install Go, or use a server of your own with --temporal.`;

/**
 * Finds or makes a Temporal dev server, in this order: the operator's choice, the PATH, our cache, the official download,
 * a build with Go. It says which it took, and why not the ones before.
 * @throws DomainError InvalidRequest when the operator's choice is no such server, ProviderUnavailable when there is no way
 */
export async function findTemporal(options: FindOptions): Promise<TemporalCli> {
  const { environment, onProgress } = options;
  if (environment.temporalCli !== undefined) return chosen(environment.temporalCli, environment);

  const notes: string[] = [];
  const onPath = findOnPath('temporal', environment.path);
  if (onPath === undefined) notes.push('Not on the PATH');
  else {
    const looked = await look(onPath, environment);
    if (looked.ok) return { path: onPath, version: looked.version, from: 'PATH' };
    notes.push(`${onPath} is not used: ${looked.why}`);
  }

  const platform = serverPlatform(process.platform, process.arch);
  if (platform === undefined) {
    throw new DomainError(
      'ProviderUnavailable',
      `No Temporal dev server is published for ${process.platform} on ${process.arch}. ${notes.join('; ')}.`,
      { hint: ways },
    );
  }
  for (const version of [wantedCli, plainVersion]) {
    const path = cachedServer(environment.cacheFolder, version, platform);
    if (!isExecutable(path)) continue;
    const looked = await look(path, environment);
    if (looked.ok) return { path, version: looked.version, from: 'cache' };
    notes.push(`${path} is not used: ${looked.why}`);
  }
  onProgress({
    step: 'temporal',
    text: `slipway needs a Temporal dev server (${wantedCli}). ${notes.join(', ')}, not cached.`,
  });

  const fetched = await fetchTemporal({ ...options, platform, ways });
  const looked = await look(fetched.path, environment);
  if (!looked.ok) {
    throw new DomainError('ProviderUnavailable', `${fetched.path} is no Temporal dev server: ${looked.why}`, {
      hint: `Remove it and try again. ${ways}`,
    });
  }
  return { path: fetched.path, version: looked.version, from: fetched.from };
}

async function chosen(path: string, environment: DevEnvironment): Promise<TemporalCli> {
  const looked = await look(path, environment);
  if (looked.ok) return { path, version: looked.version, from: 'SLIPWAY_TEMPORAL_CLI' };
  throw new DomainError('InvalidRequest', `SLIPWAY_TEMPORAL_CLI names ${path}, which cannot be used: ${looked.why}`, {
    hint: `Name a Temporal CLI ≥ ${leastCli}, or unset the variable.`,
  });
}

type Look = { readonly ok: true; readonly version: TemporalVersion } | { readonly ok: false; readonly why: string };

async function look(path: string, environment: DevEnvironment): Promise<Look> {
  if (!isExecutable(path)) return { ok: false, why: 'it is not an executable file' };
  let said: string;
  try {
    const end = await runCommand(path, ['--version'], { env: environment.variables });
    if (end.status !== 0) return { ok: false, why: `\`--version\` ended with ${end.status}` };
    said = end.text;
  } catch (error) {
    return { ok: false, why: (error as Error).message };
  }
  const version = parseTemporalVersion(said);
  if (version === undefined) return { ok: false, why: '`--version` did not answer as a Temporal CLI does' };
  return isRecentEnough(version)
    ? { ok: true, version }
    : { ok: false, why: `it is ${version.cli} (server ${version.server}), and ${leastCli} is the least` };
}
