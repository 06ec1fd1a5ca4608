import type { LeaseRequest } from '../domain/lease.ts';
import { spokenDuration } from './bundle-limits.ts';
import type { TtlLimits } from './bundle-limits.ts';

/** What a request asks beyond its bundle, each in a sentence; the door has checked its form already. */
export function requestMistakes(bundle: string, request: LeaseRequest, { maxTtlMs }: TtlLimits): readonly string[] {
  const mistakes: string[] = [];
  const within = (name: string, durationMs: number | undefined): void => {
    if (durationMs === undefined || durationMs <= maxTtlMs) return;
    mistakes.push(
      `${name} is ${spokenDuration(durationMs)}, but bundle \`${bundle}\` allows ${spokenDuration(maxTtlMs)} (lease.maxTtlMs)`,
    );
  };
  within('ttlMs', request.ttlMs);
  within('holdAfterJobMs', request.holdAfterJobMs);
  within('holdOnFailureMs', request.holdOnFailureMs);
  within('job.limitMs', request.job?.limitMs);
  if (request.holdAfterJobMs !== undefined && request.job === undefined) {
    mistakes.push('holdAfterJobMs is given, but there is no job');
  }
  for (const path of repeated((request.files ?? []).map((file) => file.path)))
    mistakes.push(`files has ${path} more than once`);
  for (const path of repeated(request.collect ?? [])) mistakes.push(`collect has ${path} more than once`);
  return mistakes;
}

const repeated = (paths: readonly string[]): ReadonlySet<string> =>
  new Set(paths.filter((each, n) => paths.indexOf(each) !== n));

/** Digests that the request takes for granted, with where. */
export function requestedBlobs(request: LeaseRequest): readonly { readonly where: string; readonly sha256: string }[] {
  const files = (request.files ?? []).flatMap((file) =>
    file.blob === undefined ? [] : [{ where: `file ${file.path}`, sha256: file.blob }],
  );
  const stdin = request.job?.stdin;
  return stdin !== undefined && 'blob' in stdin ? [...files, { where: 'job.stdin', sha256: stdin.blob }] : files;
}
