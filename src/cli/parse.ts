import { InvalidArgumentError } from 'commander';
import type { RequestFile } from '../domain/lease.ts';
import type { Stream } from '../domain/task.ts';

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `30s`, `5m`, `1h30m`, `250ms`, `2d` as milliseconds. */
export function duration(text: string): number {
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const ms = Math.round(parts.reduce((sum, [, number, unit]) => sum + Number(number) * (unitMs[unit ?? ''] ?? 0), 0));
  if (parts.length === 0 || parts.map(([part]) => part).join('') !== text || ms < 1) {
    throw new InvalidArgumentError('write a duration such as 30s, 5m or 1h30m.');
  }
  return ms;
}

/** An instant as ISO 8601, as epoch milliseconds. */
export function instant(text: string): number {
  const ms = Date.parse(text);
  if (Number.isNaN(ms) || !/^\d{4}-\d{2}-\d{2}/.test(text)) {
    throw new InvalidArgumentError('write an instant such as 2026-01-31T18:00:00Z.');
  }
  return ms;
}

export function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('write a whole number from 1.');
  return Number(text);
}

/** `100`, or `100,0` for both streams. */
export function offsets(text: string): Readonly<Record<Stream, number>> {
  const [, stdout = '', stderr = stdout] = /^(\d{1,15})(?:,(\d{1,15}))?$/.exec(text) ?? [];
  if (stdout === '') throw new InvalidArgumentError('write a number of bytes, or two: 100,0.');
  return { stdout: Number(stdout), stderr: Number(stderr) };
}

export function stream(text: string): Stream {
  if (text !== 'stdout' && text !== 'stderr') throw new InvalidArgumentError('write stdout or stderr.');
  return text;
}

export function wholeNumber(text: string): number {
  if (!/^[+-]?\d{1,9}$/.test(text)) throw new InvalidArgumentError('write a whole number.');
  return Number(text);
}

/** Options that may be given many times. */
export const each =
  <T>(parse: (text: string) => T) =>
  (text: string, before: readonly T[] = []): readonly T[] => [...before, parse(text)];

export interface NamedValue {
  readonly name: string;
  /** Undefined: the caller's own variable of that name. */
  readonly value: string | undefined;
}

export function assignment(text: string): NamedValue {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name))
    throw new InvalidArgumentError('write NAME=value, or NAME to pass your own on.');
  return { name, value: at < 0 ? undefined : text.slice(at + 1) };
}

export function keyValue(text: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('write key=value.');
  return [text.slice(0, at), text.slice(at + 1)];
}

export function secretName(text: string): string {
  if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(text)) {
    throw new InvalidArgumentError('write the name of an environment variable; its value is never an argument.');
  }
  return text;
}

interface FileTarget extends Pick<RequestFile, 'path' | 'mode' | 'owner' | 'group'> {}
export type FileFlag = FileTarget & ({ readonly local: string } | { readonly url: string; readonly sha256: string });

/**
 * `local:/remote[:mode[:owner[:group]]]`; a Windows drive or a colon in the local name stays with it. Or a URL with the
 * digest of what it must be: `https://host/file#sha256=…:/remote`.
 */
export function fileFlag(text: string): FileFlag {
  if (/^https?:\/\//i.test(text)) return urlFlag(text);
  const found = /^(.+?):((?:\/|~\/)[^:]*)(?::([^:]*))?(?::([^:]*))?(?::([^:]*))?$/.exec(text);
  if (!found) throw new InvalidArgumentError('write local:/path/on/the/machine[:mode[:owner[:group]]].');
  const [, local = '', ...target] = found;
  return { local, ...targetOf(target) };
}

function urlFlag(text: string): FileFlag {
  const found = /^([^#]+)#sha256=([0-9a-f]{64}):((?:\/|~\/)[^:]*)(?::([^:]*))?(?::([^:]*))?(?::([^:]*))?$/.exec(text);
  const [, url = '', sha256 = '', ...target] = found ?? [];
  if (!URL.canParse(url)) {
    throw new InvalidArgumentError(
      'write https://host/file#sha256=DIGEST:/path/on/the/machine[:mode[:owner[:group]]], with the 64 hex digits of its sha256.',
    );
  }
  return { url, sha256, ...targetOf(target) };
}

function targetOf([path = '', mode, owner, group]: readonly (string | undefined)[]): FileTarget {
  return {
    path,
    ...(mode ? { mode } : {}),
    ...(owner ? { owner } : {}),
    ...(group ? { group } : {}),
  };
}

export interface CollectFlag {
  readonly remote: string;
  /** Its own name in this folder when absent. */
  readonly local?: string;
}

/** `/remote[:local]`; of the remote name all before the first colon. */
export function collectFlag(text: string): CollectFlag {
  const [, remote = '', local] = /^((?:\/|~(?=$|[/:]))[^:]*)(?::(.+))?$/.exec(text) ?? [];
  if (remote === '') {
    throw new InvalidArgumentError(
      "write /path/on/the/machine:local, or '~/path:local' in quotes, as your shell takes ~ for your own home.",
    );
  }
  return { remote, ...(local === undefined ? {} : { local }) };
}

/** `--keep` alone means half an hour. */
export const defaultKeep = '30m';
