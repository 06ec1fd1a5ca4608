import { setTimeout as pause } from 'node:timers/promises';
import type { CaptureStatus, ImageListing } from '../contract/images.ts';
import { DomainError } from '../domain/failure.ts';
import { lacking, noProvider } from '../providers/lacking.ts';
import type { Images, ImageView } from '../providers/provider.ts';
import type { ApiDeps } from './deps.ts';
import { ableMachine } from './machines.ts';

type Deps = Pick<ApiDeps, 'provider' | 'providers'>;

/** A disk of many gigabytes, on a slow one. */
const captureWithinMs = 3_600_000;
/** One answer waits no longer; who asks again goes on waiting. */
const answerWithinMs = 20_000;

/** @throws DomainError NotFound, InvalidRequest (the provider keeps no images) */
function imagesOf(deps: Deps, name: string): Images {
  const found = deps.provider(name);
  if (found?.images) return found.images;
  if (!found) throw noProvider(name, deps.providers);
  throw lacking(name, 'images', ableOf(deps));
}

const ableOf = ({ provider, providers }: Deps): readonly string[] =>
  providers.filter((name) => provider(name)?.capabilities().images);

/** Of all providers that keep images, or of one. @throws DomainError NotFound, InvalidRequest */
export async function listImages(
  deps: Deps,
  provider: string | undefined,
  signal: AbortSignal,
): Promise<readonly ImageListing[]> {
  const names = provider === undefined ? ableOf(deps) : [provider];
  const lists = await Promise.all(
    names.map(async (name) => {
      const images = await imagesOf(deps, name).list(signal);
      return images.map((image) => Object.assign({ provider: name }, image));
    }),
  );
  return lists.flat();
}

/** @throws DomainError NotFound, InvalidRequest (it is of the settings, or machines lie upon it) */
export async function removeImage(
  deps: Deps,
  provider: string,
  name: string,
  signal: AbortSignal,
): Promise<ImageListing> {
  const images = imagesOf(deps, provider);
  const image = await images.resolve(name, signal);
  await images.remove(name, signal);
  return { provider, ...image };
}

/** Images that are being taken by this process. */
export type Captures = Map<string, Promise<ImageView>>;

/**
 * Of a machine that runs, or is off. It goes on when who asked for it does not wait; when this process dies, nothing of it is
 * left and who asks again has it taken anew. The same machine and name again is the same image.
 * @throws DomainError NotFound, Gone, InvalidRequest, IdConflict (another image has that name), CapacityUnavailable
 */
export async function captureImage(
  deps: ApiDeps,
  captures: Captures,
  machineId: string,
  name: string,
  signal: AbortSignal,
): Promise<CaptureStatus> {
  const found = await ableMachine(deps, machineId, 'images', signal);
  const provider = found.name;
  const key = JSON.stringify([provider, found.ref, name]);
  const taking = captures.get(key) ?? take(found, machineId, name);
  if (!captures.has(key)) {
    captures.set(key, taking);
    // Whoever waits hears of it.
    void taking.catch(() => undefined).finally(() => captures.delete(key));
  }
  const over = new AbortController();
  try {
    const patience = AbortSignal.any([signal, over.signal]);
    const image = await Promise.race([taking, pause(answerWithinMs, undefined, { signal: patience })]);
    return { provider, name, ...(image ? { image: { provider, ...image } } : {}) };
  } finally {
    over.abort();
  }
}

async function take(
  { provider, ref }: Pick<Awaited<ReturnType<typeof ableMachine<'images'>>>, 'provider' | 'ref'>,
  machineId: string,
  name: string,
): Promise<ImageView> {
  const within = AbortSignal.timeout(captureWithinMs);
  const { state } = await provider.get(ref, within);
  if (state === 'running' || state === 'stopped') return provider.images.capture(ref, name, within);
  throw new DomainError('InvalidRequest', `Machine ${machineId} is ${state}.`, {
    hint: 'An image is taken of a machine that runs, or is off.',
  });
}
