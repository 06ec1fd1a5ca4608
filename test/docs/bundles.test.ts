import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { createBundles } from '../../src/config/bundles.ts';
import { mistakeText } from '../../src/config/yaml-mistakes.ts';
import { bundleFile } from '../../src/contract/bundle.ts';
import { freshFolder } from '../output/store-kit.ts';

const pages = { bundles: 6, quickstart: 1 };

it.each(Object.entries(pages))('the examples of bundles on the page %s have no mistakes', async (page, least) => {
  const path = fileURLToPath(new URL(`../../docs/${page}.md`, import.meta.url));
  const folder = await freshFolder();
  const examples = [...(await readFile(path, 'utf8')).matchAll(/```yaml\n# bundles\/(\S+)\n([\s\S]*?)```/g)];
  expect(examples.length).toBeGreaterThanOrEqual(least);
  for (const [, name = '', text = ''] of examples) {
    for (const [, from = ''] of text.matchAll(/from: (\S+)/g)) {
      await mkdir(dirname(join(folder, from)), { recursive: true });
      await writeFile(join(folder, from), '');
    }
    await writeFile(join(folder, name), text);
  }
  const bundles = createBundles({ folders: [folder], providers: ['local'] });
  expect((await bundles.check()).mistakes.map(mistakeText)).toEqual([]);
  expect((await bundles.list()).length).toBe(examples.length);
});

interface Node {
  readonly description?: string;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly anyOf?: readonly Node[];
}

/** Keys of every map in it that say nothing of themselves. */
function silent(node: Node, path = ''): readonly string[] {
  const entries = Object.entries(node.properties ?? {});
  const own = entries.filter(([, each]) => each.description === undefined).map(([key]) => `${path}${key}`);
  const below = entries.flatMap(([key, each]) => silent(each, `${path}${key}.`));
  return [...own, ...below, ...[node.items ?? [], node.anyOf ?? []].flat().flatMap((each) => silent(each, path))];
}

it('every key of a bundle says what it is for', () => {
  expect(silent(z.toJSONSchema(bundleFile, { io: 'input', unrepresentable: 'any' }) as Node)).toEqual([]);
});
