import { chmod } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { preferredPorts } from '../../src/dev/stack-temporal.ts';
import { freshFolder } from '../output/store-kit.ts';

const known = { port: 7233, uiPort: 8233 };

it('of stacks that start at one moment one may take the ports that people know', async () => {
  const cache = await freshFolder();
  const given = await Promise.all([1, 2, 3].map(() => preferredPorts(cache)));
  expect(given.filter((ports) => ports !== undefined)).toEqual([known]);
  expect(await preferredPorts(cache)).toBeUndefined();
});

it.skipIf(process.getuid?.() === 0)('a home that cannot be written gives other ports, and no failure', async () => {
  const cache = await freshFolder();
  await chmod(cache, 0o500);
  expect(await preferredPorts(`${cache}/slipway`)).toBeUndefined();
});
