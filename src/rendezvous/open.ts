import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Client } from '@temporalio/client';
import type { Logger } from 'pino';
import { readSettings } from '../config/settings.ts';
import type { StateFolder } from '../config/state-folder.ts';
import { DomainError } from '../domain/failure.ts';
import { replaceFile } from '../host/atomic-file.ts';
import type { BlobStore } from '../output/output-store.ts';
import { readListening, type Listening } from './boot-strings.ts';
import { lastStageOf, postToMachine } from './posts.ts';
import { createSurface, type Surface } from './surface.ts';

export interface RendezvousOptions {
  readonly state: StateFolder;
  readonly installationKey: Uint8Array;
  readonly client: Client;
  readonly blobs: Pick<BlobStore, 'get'>;
  /** Take any free port rather than the usual one. */
  readonly anyPort: boolean;
  readonly logger: Logger;
}

export interface Rendezvous {
  readonly counts: Surface['counts'];
  close(): Promise<void>;
}

const loopback = '127.0.0.1';
const usualPort = 4801;

/**
 * Listens where the settings say, else on loopback, for the guests of this host.
 * @throws DomainError ProviderUnavailable when the address that the settings name is taken
 */
export async function openRendezvous(options: RendezvousOptions): Promise<Rendezvous> {
  const { state, logger } = options;
  const { rendezvous } = await readSettings(state);
  const deps = {
    client: options.client,
    blobs: options.blobs,
    sameSource: async () => (await readSettings(state)).rendezvous?.sameSource === true,
  };
  const { app, counts } = createSurface({
    installationKey: options.installationKey,
    post: (who, post) => postToMachine(deps, who, post),
    lastStage: (who, source) => lastStageOf(deps, who, source),
    logger,
  });
  const at = rendezvous?.listen === undefined ? await freePlace(options) : placeOf(rendezvous.listen);
  await app.listen(at).catch((cause: Error) => {
    throw new DomainError(
      'ProviderUnavailable',
      `Guests cannot be listened for at ${at.host}:${at.port}: ${cause.message}`,
      {
        hint: 'Another process may have that port, or the address is none of this computer: see `rendezvous` in slipway.yaml.',
        cause,
      },
    );
  });
  const address = app.server.address();
  const port = typeof address === 'object' && address ? address.port : at.port;
  await mkdir(state.run, { recursive: true, mode: 0o700 });
  await replaceFile(state.rendezvous, `${JSON.stringify({ host: at.host, port } satisfies Listening)}\n`);
  logger.info({ host: at.host, port }, 'machines can call home');
  return { counts, close: () => app.close() };
}

function placeOf(text: string): Listening {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replaceAll(/[[\]]/g, ''), port: Number(text.slice(colon + 1)) };
}

/** That of before, which guests have been told, then the usual one, then any. */
async function freePlace({ state, anyPort }: RendezvousOptions): Promise<Listening> {
  const before = await readListening(state);
  const wanted = [...(before?.host === loopback ? [before.port] : []), ...(anyPort ? [] : [usualPort])];
  for (const port of wanted) if (await isFree(port)) return { host: loopback, port };
  return { host: loopback, port: 0 };
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ host: loopback, port }, () => probe.close(() => resolve(true)));
  });
