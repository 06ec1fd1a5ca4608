import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What a next version may change in its workflows: a timer before every activity but the shortest, begun by `patched()`. */
const change = `
import { patched as changedPatched, sleep as changedSleep } from '@temporalio/workflow';
const changed = (proxies) =>
  new Proxy(proxies, {
    get: (inner, name) => async (input) => {
      if (changedPatched('next-version')) await changedSleep(1);
      return inner[name](input);
    },
  });
export const cloud = (...how) => changed(cloudBefore(...how));
export const waits = (...how) => changed(waitsBefore(...how));
export const payer = (...how) => changed(payerBefore(...how));
export const follower = (...how) => changed(followerBefore(...how));
`;

/** The build as it is, with workflows as a next version might have them. @returns its folder `dist` */
export async function makeChangedBuild(): Promise<{ readonly dist: string; readonly remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'slipway-next-'));
  const dist = join(folder, 'dist');
  await cp(join(root, 'dist'), dist, { recursive: true });
  for (const name of ['node_modules', 'package.json', 'bundles', 'schemas'])
    await symlink(join(root, name), join(folder, name));
  const path = join(dist, 'workflows', 'proxies.js');
  let text = await readFile(path, 'utf8');
  for (const name of ['cloud', 'waits', 'payer', 'follower']) {
    const before = `export const ${name} = `;
    if (!text.includes(before)) throw new Error(`${path} has no ${before}`);
    text = text.replace(before, `const ${name}Before = `);
  }
  await writeFile(path, text + change);
  const { buildBundle } = (await import(join(dist, 'worker', 'bundle.js'))) as { buildBundle: () => Promise<void> };
  await buildBundle();
  return { dist, remove: () => rm(folder, { recursive: true, force: true }) };
}
