import { readdir } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import { DomainError } from '../../domain/failure.ts';
import type { Capabilities, Provider } from '../provider.ts';
import { checkHost } from './host-check.ts';
import { readKnobs } from './knobs.ts';
import { launchLocal } from './launch.ts';
import { localPaths, type LocalPaths } from './local-paths.ts';
import { buildOnDisk, isOutdated } from '../../host/build.ts';
import { noneIfMissing } from '../../host/missing.ts';
import { helloOf, mayLive, readPidFile } from './pid-file.ts';
import { protocolVersion, type CallName, type Calls } from './protocol.ts';
import { openWire, WireLost, type Wire } from './wire.ts';

export interface LocalProviderOptions {
  /** The state folder's `local/`, absolute. */
  readonly folder: string;
  /** Id of the installation: `findByKey` finds no other's machines. */
  readonly installation: string;
  readonly logger?: Logger;
}

const connectWithinMs = 20_000;
const connectAgainMs = 20;
/** Its machines have no cloud-init. */
const defaultUserDataMaxBytes = 0;

/**
 * Machines on this host. The process that holds them is started by the first call that finds none, and outlives us.
 * @throws DomainError (each verb) ProviderUnavailable when that process cannot be started or ends in the middle of a call
 */
export function createLocalProvider(options: LocalProviderOptions): Provider {
  const { installation } = options;
  const paths = localPaths(options.folder);
  let wire: Promise<Wire> | undefined;

  const connected = async (): Promise<Wire> => {
    const now = wire;
    if (now) {
      const open = await now.catch(() => undefined);
      if (open?.isOpen()) return open;
      if (wire === now) wire = undefined;
    }
    wire ??= connectLocal(options.folder, options.logger);
    return wire;
  };
  const call = async <Name extends CallName>(
    name: Name,
    input: Calls[Name]['input'],
    signal: AbortSignal,
  ): Promise<Calls[Name]['output']> => {
    signal.throwIfAborted();
    // Others may wait for the same connection: an abort leaves it to them.
    const open = await unlessAborted(connected(), signal);
    try {
      return await open.call(name, input, signal);
    } catch (error) {
      if (!(error instanceof WireLost)) throw error;
      throw new DomainError('ProviderUnavailable', `${error.message} (${name})`, { cause: error });
    }
  };

  return {
    name: 'local',
    capabilities(): Capabilities {
      const knobs = readKnobs(paths.knobs);
      return {
        idempotentCreate: 'token',
        settleMs: 0,
        userDataMaxBytes: knobs.userDataMaxBytes ?? defaultUserDataMaxBytes,
        power: true,
        console: true,
        reload: true,
        rekey: true,
        hostAddress: '127.0.0.1',
      };
    },
    create: (key, spec, tags, signal) => call('create', { key, spec, tags }, signal),
    findByKey: async (key, signal) => (await call('findByKey', { key, installation }, signal)) ?? undefined,
    get: (ref, signal) => call('get', { ref }, signal),
    list: async (owner, signal) => ((await isUnused(paths)) ? [] : call('list', { installation: owner }, signal)),
    async destroy(ref, signal) {
      await call('destroy', { ref }, signal);
    },
    async reload(ref, spec, generation, signal) {
      await call('reload', { ref, spec, generation }, signal);
    },
    async rekey(ref, identity, generation, signal) {
      await call('rekey', { ref, identity, generation }, signal);
    },
    async power(ref, action, signal) {
      await call('power', { ref, action }, signal);
    },
    console: (ref, maxBytes, signal) => call('console', { ref, maxBytes }, signal),
    // Where machines cannot run, no process of theirs can say why.
    check: async (signal) => (process.platform === 'linux' ? call('check', {}, signal) : checkHost(undefined)),
    async close() {
      const open = await wire?.catch(() => undefined);
      wire = undefined;
      open?.close();
    },
  };
}

/** No process runs, and none has left a machine: the sweep of a host without machines must not start one each minute. */
async function isUnused({ pidFile, machines }: LocalPaths): Promise<boolean> {
  const file = await readPidFile(pidFile);
  return !(file && mayLive(file)) && ((await readdir(machines).catch(noneIfMissing)) ?? []).length === 0;
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  let stop: () => void = () => undefined;
  const stopped = new Promise<never>((_resolve, reject) => {
    stop = () => reject(signal.reason as Error);
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([work, stopped]);
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

async function connectLocal(folder: string, logger: Logger | undefined): Promise<Wire> {
  const paths = localPaths(folder);
  if (process.platform !== 'linux') {
    throw new DomainError('ProviderUnavailable', `Provider local: ${checkHost(undefined).items[0]?.text ?? ''}`);
  }
  const deadline = Date.now() + connectWithinMs;
  for (;;) {
    const file = await readPidFile(paths.pidFile);
    const open = file && mayLive(file) ? await openWire(file.socket).catch(() => undefined) : undefined;
    if (open) {
      const hello = await helloOf(open);
      const ours = buildOnDisk();
      // A service is brought to another build by who keeps it up.
      const fits = hello?.protocol === protocolVersion && (file?.served === true || !isOutdated(hello.build, ours));
      if (fits) return open;
      if (hello && file?.served === true) {
        open.close();
        throw new DomainError(
          'ProviderUnavailable',
          `The service of provider local speaks protocol ${hello.protocol}, and this slipway ${protocolVersion}.`,
          { hint: 'Start `slipway serve local` anew with the same version.' },
        );
      }
      if (hello) {
        logger?.info(
          { theirs: [hello.protocol, hello.build?.id], ours: [protocolVersion, ours.id] },
          'asking the process of provider local to leave',
        );
        await open.call('leave', {}, AbortSignal.timeout(connectWithinMs)).catch(() => undefined);
        await open.closed;
      }
      open.close();
    } else if (file?.served !== true && (await launchLocal(folder)) === 'ready') continue;
    if (Date.now() > deadline) {
      throw new DomainError(
        'ProviderUnavailable',
        file?.served === true
          ? 'The service of provider local does not answer.'
          : `The process of provider local does not answer (pid ${file?.pid}).`,
        {
          hint:
            file?.served === true
              ? `Start it: slipway serve local. When nobody keeps it up any more, remove ${paths.pidFile}.`
              : `See ${paths.log}.`,
        },
      );
    }
    await pause(connectAgainMs);
  }
}
