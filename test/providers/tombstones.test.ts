import { mkdtemp, readdir, rm, utimes } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { forgetOldTombstones, hasTombstone, layTombstone } from '../../src/providers/tombstones.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'slipway-tombstones-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

test('tombstones are forgotten a month after they were last laid, and not before', async () => {
  const folder = join(root, 'tombstones');
  for (const key of ['old', 'new']) await layTombstone(folder, key);
  const monthAgo = new Date(Date.now() - 31 * 86_400_000);
  await utimes(join(folder, 'old'), monthAgo, monthAgo);
  await forgetOldTombstones(folder);
  expect([hasTombstone(folder, 'old'), hasTombstone(folder, 'new')]).toEqual([false, true]);
});

test('where no machine was ever destroyed there is no folder, and nothing to forget', async () => {
  await forgetOldTombstones(join(root, 'none'));
  expect(await readdir(root)).toEqual([]);
});
