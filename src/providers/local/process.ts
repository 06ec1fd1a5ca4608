import { chmodSync, existsSync, lstatSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino, type Logger } from 'pino';
import { DomainError } from '../../domain/failure.ts';
import { buildOnDisk } from '../../host/build.ts';
import { replaceFile } from '../../host/atomic-file.ts';
import { openFleet } from './fleet.ts';
import { newTurns } from './machine.ts';
import { createGateKeeper } from './gates.ts';
import { checkHost, findTool, usersOf, type HostCheck } from './host-check.ts';
import { readKnobs } from './knobs.ts';
import { localPaths, type LocalPaths } from './local-paths.ts';
import { takeLock } from '../../host/lock.ts';
import { createPlainTier } from './plain-tier.ts';
import { thisProcess } from '../../host/process-identity.ts';
import { answersFrom } from './pid-file.ts';
import { protocolVersion, type PidFile } from './protocol.ts';
import { forgetOldTombstones } from '../tombstones.ts';
import type { TierName } from './record.ts';
import { buildTemplate, keptCapabilities } from './root-template.ts';
import { createRootTier, type RootKind } from './root-tier.ts';
import { startService } from './service.ts';
import type { Tier } from './tier.ts';
import { buildUsernsTemplate } from './userns-template.ts';

/** No longer than it is of use. */
const defaultIdleMs = 30_000;
/** sun_path of a unix socket holds 108 bytes (unix(7)). */
const longestSocketBytes = 100;
const scripts = dirname(fileURLToPath(import.meta.url));

/** Beside the machines, or where the path is short enough; there in the folder of the process before us, if it left one. */
function socketPath(paths: LocalPaths, runtimeFolder: string): string {
  if (Buffer.byteLength(paths.socket) <= longestSocketBytes) return paths.socket;
  const before = existsSync(paths.pidFile) ? (JSON.parse(readFileSync(paths.pidFile, 'utf8')) as PidFile).socket : '';
  const left = before === '' ? undefined : lstatSync(dirname(before), { throwIfNoEntry: false });
  if (left?.isDirectory() && left.uid === process.getuid?.() && (left.mode & 0o077) === 0) return before;
  return join(mkdtempSync(join(existsSync(runtimeFolder) ? runtimeFolder : tmpdir(), 'slipway-local-')), 'socket');
}

function tiers(paths: LocalPaths): Record<TierName, () => Tier> {
  const made = new Map<TierName, Tier>();
  const once = (name: TierName, make: () => Tier) => (): Tier => {
    const tier = made.get(name) ?? make();
    made.set(name, tier);
    return tier;
  };
  const tool = (name: string): string => {
    const path = findTool(name);
    if (path !== undefined) return path;
    throw new DomainError('ProviderUnavailable', `Provider local found no ${name}.`, { hint: 'Install util-linux.' });
  };
  const withRoot = (kind: RootKind): Tier => {
    const build = kind.name === 'root' ? buildTemplate : buildUsernsTemplate;
    build(paths.template, [dirname(paths.folder)], scripts);
    const tools = { nsenter: tool('nsenter'), unshare: tool('unshare'), capabilities: keptCapabilities };
    return createRootTier(paths, kind, tools, scripts);
  };
  return {
    plain: once('plain', () => createPlainTier(paths)),
    root: once('root', () => withRoot({ name: 'root', users: [] })),
    userns: once('userns', () => withRoot({ name: 'userns', users: usersOf() })),
  };
}

export interface LocalProcessOptions {
  /** The state folder's `local/`, absolute. */
  readonly folder: string;
  /**
   * A service of its own: it stays without work, and clients wait for it where they would else start one. They may be in
   * another pid namespace, where its pid says nothing.
   */
  readonly isServed: boolean;
  /** `XDG_RUNTIME_DIR`, for the socket of a folder with a long path. */
  readonly runtimeFolder?: string | undefined;
  /** `local.log` of the folder when absent. */
  readonly logger?: Logger;
  /** It answers from now on. */
  readonly onReady: () => void;
}

/**
 * Holds the machines of a folder until SIGTERM, SIGINT, a newer client or idleness ends it; machines stay.
 * @returns `held` at once when another process has the folder
 */
export async function runLocal(options: LocalProcessOptions): Promise<'held' | 'left'> {
  const { folder, isServed } = options;
  const paths = localPaths(folder);
  for (const each of [folder, paths.machines, paths.tombstones, dirname(paths.pidFile)])
    mkdirSync(each, { recursive: true, mode: 0o700 });
  chmodSync(folder, 0o700);
  const lock = await takeLock(paths.lock);
  // The lock knows processes by their pid; one in another pid namespace is known by its answer.
  if (!lock.held || (await answersFrom(paths.pidFile))) return 'held';

  const logger =
    options.logger ??
    pino(
      { base: { pid: process.pid }, serializers: { error: pino.stdSerializers.err } },
      pino.destination({ dest: paths.log, mode: 0o600, sync: true }),
    );
  const build = buildOnDisk();
  const startedAt = new Date().toISOString();
  const knobs = () => readKnobs(paths.knobs);
  rmSync(paths.held, { force: true });
  await forgetOldTombstones(paths.tombstones);

  const byName = tiers(paths);
  const checked = new Map<TierName | undefined, HostCheck>();
  const newTier = (): Tier => {
    const forced = knobs().tier;
    // Looking costs as much as a machine does; a host that lacked something is looked at again.
    const found = checked.get(forced) ?? checkHost(forced);
    const { tier, summary, items } = found;
    if (tier) {
      checked.set(forced, found);
      return byName[tier]();
    }
    const why = items.filter(({ ok }) => !ok).map(({ name, text }) => `${name}: ${text}`);
    throw new DomainError('ProviderUnavailable', `Provider local: ${summary}. ${why.join('; ')}.`, {
      hint: 'slipway provider check local',
    });
  };
  const gates = createGateKeeper(paths.held, knobs);
  const fleet = await openFleet(
    { addresses: newTurns(), paths, knobs, gates, logger, tierOf: ({ tier }) => byName[tier]() },
    newTier,
  );
  const socket = socketPath(paths, options.runtimeFolder ?? '');
  rmSync(socket, { force: true });
  const service = await startService({
    socket,
    startedAt,
    build,
    fleet,
    check: () => checkHost(knobs().tier),
    idleMs: () => (isServed ? Infinity : (knobs().idleMs ?? defaultIdleMs)),
    logger,
  });
  chmodSync(socket, 0o600);
  const pidFile: PidFile = {
    ...thisProcess(),
    startedAt,
    protocol: protocolVersion,
    socket,
    ...(isServed ? { served: true as const } : {}),
  };
  await replaceFile(paths.pidFile, `${JSON.stringify(pidFile)}\n`);
  logger.info({ protocol: protocolVersion, machines: fleet.size() }, 'ready');
  options.onReady();

  const asked = new Promise<string>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve(signal));
  });
  const why = await Promise.race([service.over, asked]);
  logger.info({ why }, 'leaving; machines stay');
  await service.close();
  await fleet.close();
  if (socket !== paths.socket) rmSync(dirname(socket), { recursive: true, force: true });
  // That of a service stays: its clients wait for the next one.
  if (!isServed) rmSync(paths.pidFile, { force: true });
  return 'left';
}
