import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { OnProgress } from './progress.ts';
import { runCommand } from './run-command.ts';
import type { ServerPlatform } from './temporal-cache.ts';

export const downloadService = 'https://temporal.download';

export interface DownloadOptions {
  /** What the service is asked: it answers with the place of an archive. */
  readonly url: string;
  /** For the progress. */
  readonly what: string;
  readonly folder: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly onProgress: OnProgress;
  readonly signal: AbortSignal;
}

const answerWithinMs = 15_000;

/** Where the Temporal CLI of a version is asked for. */
export const cliUrl = (service: string, version: string, platform: ServerPlatform): string =>
  `${service}/cli/v${version}?platform=${platform.os}&arch=${platform.arch}&format=tar.gz`;

/**
 * Fetches an official archive and unpacks it: the service answers where the archive lies and which file in it is wanted (as
 * in the SDK's own `cached-download`).
 * @returns the path of the unpacked binary in `folder`
 */
export async function downloadArchive(options: DownloadOptions): Promise<string> {
  const began = performance.now();
  const info = await archiveInfo(options.url, options.signal);
  const response = await fetch(info.archiveUrl, { signal: options.signal });
  if (!response.ok || response.body === null) throw new Error(`${info.archiveUrl} answered ${response.status}`);
  const archive = join(options.folder, 'archive.tar.gz');
  const total = Number(response.headers.get('content-length') ?? 0);
  const megabytes = (value: number) => (value / 1e6).toFixed(0);
  const count = counter((bytes) =>
    options.onProgress({
      step: 'download',
      text: `${options.what}: ${megabytes(bytes)}${total > 0 ? ` of ${megabytes(total)}` : ''} MB`,
      ...(total > 0 ? { fraction: bytes / total } : {}),
      elapsedMs: performance.now() - began,
    }),
  );
  await pipeline(Readable.fromWeb(response.body), count, createWriteStream(archive), { signal: options.signal });
  const unpacked = await runCommand('tar', ['-xzf', archive, '-C', options.folder, '--', info.fileToExtract], {
    env: options.env,
    signal: options.signal,
  });
  if (unpacked.status !== 0) throw new Error(`tar ended with ${unpacked.status}: ${unpacked.text.trim()}`);
  return join(options.folder, info.fileToExtract);
}

async function archiveInfo(url: string, signal: AbortSignal): Promise<{ archiveUrl: string; fileToExtract: string }> {
  const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(answerWithinMs)]) });
  if (!response.ok) throw new Error(`${url} answered ${response.status}`);
  const info = (await response.json()) as { archiveUrl?: unknown; fileToExtract?: unknown };
  const { archiveUrl, fileToExtract } = info;
  // The name becomes a path and an argument here: no part of it may lead out of the folder.
  if (
    typeof archiveUrl === 'string' &&
    typeof fileToExtract === 'string' &&
    /^\w[\w.-]*(\/\w[\w.-]*)*$/.test(fileToExtract)
  ) {
    return { archiveUrl, fileToExtract };
  }
  throw new Error(`${url} did not say where the archive is`);
}

const everyMs = 200;

function counter(report: (bytes: number) => void): Transform {
  let bytes = 0;
  let reported = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      if (performance.now() - reported > everyMs) {
        reported = performance.now();
        report(bytes);
      }
      done(null, chunk);
    },
    flush(done) {
      report(bytes);
      done();
    },
  });
}
