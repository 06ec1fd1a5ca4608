import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';

/** Where the build puts the workflows' bundle; it must come from the very packages that run it. */
export const bundlePath = fileURLToPath(new URL('../workflow-bundle.js', import.meta.url));
export const payloadConverterPath = fileURLToPath(new URL('../workflows/payload-converter.js', import.meta.url));

const preloadPath = fileURLToPath(new URL('../workflows/preload.js', import.meta.url));

/** Called by the build. */
export async function buildBundle(): Promise<void> {
  const { code } = await bundleWorkflowCode({
    workflowsPath: fileURLToPath(new URL('../workflows/index.js', import.meta.url)),
    payloadConverterPath,
    preloadModules: [preloadPath],
    logger: new DefaultLogger('WARN'),
  });
  await writeFile(bundlePath, code);
}
