import type { Provider, ResourceItem } from '../../src/providers/provider.ts';

/** A provider whose machines come with a volume that outlives them, as a cloud's do. */
export function withVolumes(provider: Provider) {
  let volumes: ResourceItem[] = [];
  const inUse = new Set<string>();
  const add = (tags: ResourceItem['tags'], id = `volume-of-${tags['slipway-machine']}`): void => {
    const key = tags['slipway-key'];
    if (volumes.some((volume) => volume.ref['id'] === id)) return;
    volumes.push({ kind: 'volume', key, ref: { id }, tags, state: 'available', createdAt: new Date().toISOString() });
  };
  const wrapped: Provider = {
    ...provider,
    create: async (key, spec, tags, signal) => {
      add(tags);
      return provider.create(key, spec, tags, signal);
    },
    resources: {
      list: (installation) =>
        Promise.resolve(volumes.filter(({ tags }) => tags['slipway-installation'] === installation)),
      destroy: ({ ref }) => {
        const id = ref['id'] ?? '';
        if (inUse.has(id)) return Promise.reject(new Error(`${id} is in use`));
        volumes = volumes.filter((volume) => volume.ref['id'] !== id);
        return Promise.resolve();
      },
    },
  };
  return {
    provider: wrapped,
    add,
    /** Their deletion is refused. */
    inUse,
    left: (): readonly string[] => volumes.map(({ ref }) => ref['id'] ?? ''),
    clear: (): void => {
      volumes = [];
      inUse.clear();
    },
  };
}
