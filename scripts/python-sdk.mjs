// Temporal's Python SDK in the cache, for the test of examples/dispatcher.py: never in the user's own Python.
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const version = '1.35.0';
const run = promisify(execFile);

/** Where it is, or would be. */
export const pythonSdkFolder = (cacheFolder) => join(cacheFolder, `python-temporalio-${version}`);

/** @returns `{from}` or `{missing}` with why */
export async function findPythonSdk({ environment: { cacheFolder }, say }) {
  const folder = pythonSdkFolder(cacheFolder);
  if (existsSync(folder)) return { from: 'the cache' };
  const part = `${folder}.${process.pid}.part`;
  say(`Fetching Temporal's Python SDK ${version} by pip`);
  try {
    const words = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--target', part];
    await run('python3', [...words, `temporalio==${version}`], { timeout: 300_000 });
    await rename(part, folder).catch((error) => {
      if (!existsSync(folder)) throw error;
    });
    return { from: 'pip' };
  } catch (error) {
    return {
      missing: `python3 -m pip install temporalio==${version}: ${String(error.stderr || error.message)
        .trim()
        .slice(-300)}`,
    };
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}
