import type { Logger } from 'pino';
import type { BlobStore } from '../output/output-store.ts';
import { packageBundlesFolder } from './bundle-folders.ts';
import { createKeptBundles } from './bundle-kept.ts';
import { createBundles } from './bundles.ts';
import type { Settings } from './settings.ts';
import type { StateFolder } from './state-folder.ts';

/** The bundles as a process of a stack has them: the operator's over the package's, their good versions kept. */
export const stackBundles = (
  state: StateFolder,
  settings: Settings,
  providers: ReadonlyMap<string, unknown>,
  blobs: BlobStore,
  logger: Logger,
): ReturnType<typeof createBundles> =>
  createBundles({
    folders: [state.bundles, packageBundlesFolder()],
    providers: [...providers.keys()],
    outputLimitBytes: settings.output.limitBytes,
    kept: createKeptBundles(state.goodBundles, blobs),
    onKeepFailed: (name, error) => logger.error({ error, bundle: name }, 'a good version could not be kept'),
  });
