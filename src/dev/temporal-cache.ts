import { existsSync } from 'node:fs';
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

const osNames: Readonly<Record<string, string>> = { linux: 'linux', darwin: 'darwin' };
const archNames: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };

/** Operating system and processor as the Temporal project names them; nothing where it publishes no server. */
export interface ServerPlatform {
  readonly os: string;
  readonly arch: string;
}

export function serverPlatform(platform: string, arch: string): ServerPlatform | undefined {
  const [os, cpu] = [osNames[platform], archNames[arch]];
  return os === undefined || cpu === undefined ? undefined : { os, arch: cpu };
}

export const cachedServer = (cacheFolder: string, version: string, on: ServerPlatform): string =>
  join(cacheFolder, `temporal-${version}-${on.os}-${on.arch}`);

/** A folder of our own in the cache, on the same file system, so that the result can be renamed into its place whole. */
export async function workFolder(cacheFolder: string, target: string): Promise<string> {
  const folder = `${target}.part`;
  // Whoever calls holds the lock: what lies here was left by one that was killed.
  await rm(folder, { recursive: true, force: true });
  await mkdir(cacheFolder, { recursive: true, mode: 0o755 });
  await mkdir(folder);
  return folder;
}

export async function moveIntoCache(built: string, target: string): Promise<void> {
  if (!existsSync(built)) throw new Error(`Nothing lies at ${built}, where the Temporal CLI was to be`);
  await chmod(built, 0o755);
  await rename(built, target);
}
