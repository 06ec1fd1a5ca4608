import { join } from 'node:path';
import type { Logger } from 'pino';
import { withFaults } from './faults/faulty-provider.ts';
import { createLocalProvider } from './local/client.ts';
import type { Provider } from './provider.ts';
import { createQemuProvider } from './qemu/client.ts';
import { debianImages } from './qemu/debian.ts';
import type { QemuSettings } from './qemu/settings.ts';
import { createStaticProvider } from './static/client.ts';
import type { InventorySource } from '../domain/inventory.ts';

type ProviderSettings =
  | { readonly type: 'local' }
  | { readonly type: 'static'; readonly inventory: string }
  | ({ readonly type: 'qemu' } & Partial<QemuSettings>);

/** What the composition root knows; the shapes of `config` are wider. */
export interface ProvidersOptions {
  readonly state: { readonly local: string; readonly static: string; readonly qemu: string; readonly faults: string };
  readonly installation: string;
  /** By name. */
  readonly settings: { readonly providers: Readonly<Record<string, ProviderSettings>> };
  /** The inventory in a file, as it stands at each call. @param file absolute */
  readonly inventoryAt: (file: string) => InventorySource;
  /** One of the operator's secrets, by its name. @throws DomainError */
  readonly secret: (name: string) => Promise<string>;
  readonly logger: Logger;
}

/** One provider for each name in the settings. Nothing is started before the first call. Each can be made to fail. */
export function createProviders(options: ProvidersOptions): ReadonlyMap<string, Provider> {
  const { state, installation, settings, inventoryAt, secret, logger } = options;
  const configured = settings.providers;
  const faults = { path: state.faults, providers: Object.keys(configured) };
  const faulty = (provider: Provider): Provider => withFaults(provider, faults);
  return new Map(
    Object.entries(configured).map(([name, provider]) => {
      switch (provider.type) {
        case 'local': {
          // A second one of another name is another place with machines of its own.
          const folder = name === 'local' ? state.local : join(state.local, 'named', name, 'local');
          const local = createLocalProvider({ folder, installation, logger: logger.child({ provider: name }) });
          return [name, faulty({ ...local, name })];
        }
        case 'static': {
          const folder = join(state.static, name);
          const inventory = inventoryAt(provider.inventory);
          const standing = { name, folder, inventory, secret, logger: logger.child({ provider: name }) };
          return [name, faulty(createStaticProvider(standing))];
        }
        case 'qemu': {
          const folder = join(state.qemu, name);
          const { images = debianImages(process.arch) } = provider;
          const settings = { ...provider, images };
          const qemu = { name, folder, installation, settings, logger: logger.child({ provider: name }) };
          return [name, faulty(createQemuProvider(qemu))];
        }
        default:
          throw new TypeError(`unknown provider ${JSON.stringify(provider satisfies never)}`);
      }
    }),
  );
}
