import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleWorkflowCode, DefaultLogger } from '@temporalio/worker';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const dist = new URL('../../dist/', import.meta.url).pathname;
let folder: string;
beforeAll(async () => {
  // Beside the built workflows, where their packages are found.
  folder = await mkdtemp(join(dist, 'bundle-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The bundle of our workflows with one more line in it; when it fails, with what webpack said. */
async function bundleWith(line: string): Promise<string> {
  const workflowsPath = join(folder, 'index.js');
  await writeFile(workflowsPath, `${line}\nexport * from '../workflows/index.js';\n`);
  const said: string[] = [];
  const logger = new DefaultLogger('ERROR', ({ message }) => said.push(message));
  try {
    return (await bundleWorkflowCode({ workflowsPath, logger })).code;
  } catch (error) {
    throw new Error([...said, String(error)].join('\n'), { cause: error });
  }
}

describe('the bundle of the workflows', () => {
  test('holds all of them', { timeout: 60_000 }, async () => {
    const code = await bundleWith('');
    for (const name of ['lease', 'machine', 'task', 'sweep']) expect(code).toContain(`workflows/${name}.js`);
  });

  test('loads what is costly once a worker, not once a workflow', async () => {
    const code = await readFile(join(dist, 'workflow-bundle.js'), 'utf8');
    const preload = /preloadModules = function[^}]*\}/.exec(code)?.[0];
    expect(preload).toContain('workflows/preload.js');
    expect(code).toContain('jitless: true');
  });

  test.each([
    ['node:fs', /fs/],
    ['node:child_process', /child_process/],
    // By its native part, where that could be built; else by what it imports.
    ['ssh2', /ssh2|'net'/],
  ])('fails when %s is smuggled into one', { timeout: 60_000 }, async (module, named) => {
    const line = `import * as smuggled from '${module}'; export const use = () => smuggled;`;
    await expect(bundleWith(line)).rejects.toThrow(named);
  });
});
