import { join } from 'node:path';
import type { Logger } from 'pino';
import { withFaults } from './faults/faulty-provider.ts';
import { createLocalProvider } from './local/client.ts';
import type { Provider } from './provider.ts';

/** What the composition root knows; the shapes of `config` are wider. */
export interface ProvidersOptions {
  readonly state: { readonly local: string; readonly faults: string };
  readonly installation: string;
  /** By name. */
  readonly settings: { readonly providers: Readonly<Record<string, { readonly type: 'local' }>> };
  readonly logger: Logger;
}

/** One provider for each name in the settings, and `local` in any case. Nothing is started before the first call. Each can be made to fail. */
export function createProviders(options: ProvidersOptions): ReadonlyMap<string, Provider> {
  const { state, installation, settings, logger } = options;
  const configured = { local: { type: 'local' as const }, ...settings.providers };
  const faults = { path: state.faults, providers: Object.keys(configured) };
  const faulty = (provider: Provider): Provider => withFaults(provider, faults);
  return new Map(
    Object.entries(configured).map(([name, { type }]) => {
      switch (type) {
        case 'local': {
          // A second one of another name is another place with machines of its own.
          const folder = name === 'local' ? state.local : join(state.local, 'named', name, 'local');
          const local = createLocalProvider({ folder, installation, logger: logger.child({ provider: name }) });
          return [name, faulty({ ...local, name })];
        }
        default:
          throw new TypeError(`unknown type of provider ${String(type satisfies never)}`);
      }
    }),
  );
}
