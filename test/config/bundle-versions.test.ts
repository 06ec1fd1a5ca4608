import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createKeptBundles } from '../../src/config/bundle-kept.ts';
import { resolveBundle } from '../../src/config/bundle-resolve.ts';
import { createBundles } from '../../src/config/bundles.ts';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { freshFolder } from '../output/store-kit.ts';

/** One installation: any number of processes on the same folders. */
async function installation() {
  const root = await freshFolder();
  const folder = join(root, 'bundles');
  await mkdir(folder);
  const blobs = createFileBlobStore(join(root, 'blobs'));
  const failed: string[] = [];
  const process = (providers: readonly string[] = ['local']) => {
    const bundles = createBundles({
      folders: [folder],
      providers,
      kept: createKeptBundles(join(root, 'good'), blobs),
      onKeepFailed: (name) => failed.push(name),
    });
    const resolve = async (leaseId = 'l') => resolveBundle(await bundles.get('web'), { leaseId, bundle: 'web' }, blobs);
    return { bundles, resolve };
  };
  const write = (name: string, text: string): Promise<void> => writeFile(join(folder, name), text);
  return { root, folder, blobs, process, write, failed };
}

const good = 'variants: [{provider: local}]\n';

describe('the last good version of a bundle', () => {
  it('is in force for a process that never saw it, with its sources, and says so', async () => {
    const { process, write, folder, blobs } = await installation();
    await write('base.yaml', 'part: true\nfiles: [{path: /motd, from: motd.txt}]\n');
    await write('motd.txt', 'one');
    await write('web.yaml', `extends: base\nattempts: 3\n${good}`);
    const before = process();
    const first = await before.resolve();
    expect(first.plan.bundle.notice).toBeUndefined();
    const { version } = await before.bundles.show('web');

    await write('web.yaml', `extends: base\nattempts: many\n${good}`);
    await write('base.yaml', 'part: true\n');
    await rm(join(folder, 'motd.txt'));
    const after = process();
    const [, web] = await after.bundles.list();
    expect(web).toMatchObject({ name: 'web', inForce: true, version, mistakes: [{ line: 2, col: 11 }] });
    expect(Date.parse(web?.since ?? '')).toBeLessThanOrEqual(Date.now());
    const { plan, recipe } = await after.resolve();
    expect(recipe).toEqual(first.recipe);
    expect(plan.bundle.notice).toMatch(
      new RegExp(
        `^Its file has mistakes \\(web.yaml:2:11 attempts: .*\\): the last good version, ${version} of .*Z, is in force\\.$`,
      ),
    );
    const [motd] = recipe.steps.flatMap((step) => ('file' in step ? [step.file.sha256 ?? ''] : []));
    expect(Buffer.from(await blobs.get(motd ?? '')).toString()).toBe('one');
    expect(await after.bundles.show('web')).toMatchObject({ version, recipe: { attempts: 3 } });
  });

  it('is not in force where today’s rules refuse it', async () => {
    const { process, write } = await installation();
    await write('web.yaml', good);
    await process().bundles.list();
    await write('web.yaml', 'variants: 3\n');
    await expect(process(['static']).bundles.get('web')).rejects.toMatchObject({ type: 'InvalidRequest' });
    expect((await process().bundles.get('web')).notice).toContain('web.yaml:1:11 variants');
  });

  it('is replaced by the next good one only', async () => {
    const { process, write } = await installation();
    const attempts = async (text: string): Promise<unknown> => {
      await write('web.yaml', `${good}${text}`);
      await process().bundles.list();
      return (await process().resolve()).recipe.attempts;
    };
    expect(await attempts('attempts: 3\n')).toBe(3);
    expect(await attempts('attempts: x\n')).toBe(3);
    expect(await attempts('attempts: 4\n')).toBe(4);
    expect(await attempts('attempts: [\n')).toBe(4);
  });

  it('that cannot be kept is told, and in force all the same', async () => {
    const { process, write, root, failed } = await installation();
    await writeFile(join(root, 'good'), 'a file where a folder should be');
    await write('web.yaml', good);
    expect((await process().resolve()).recipe.name).toBe('web');
    expect(failed).toEqual(['web']);
  });
});

describe('a bundle that is edited while leases are resolved', () => {
  const text = (n: number): string =>
    `variants: [{provider: local, n: ${n}}]\nfiles: [{path: /n, from: n.txt}]\nattempts: ${(n % 9) + 1}\noutputLimitBytes: ${n}\n${'# filler\n'.repeat(5_000)}commands: [{run: [say, "${n}"]}]\n`;

  it.each(['in place', 'by rename'])('%s gives each lease one whole version, and new ones the new', async (how) => {
    const { process, write, folder, blobs } = await installation();
    const save = async (name: string, content: string): Promise<void> => {
      if (how === 'in place') return write(name, content);
      await write(`.${name}.new`, content);
      await rename(join(folder, `.${name}.new`), join(folder, name));
    };
    const edit = async (n: number): Promise<void> => {
      await save('n.txt', String(n));
      await save('web.yaml', text(n));
    };
    await edit(0);
    const { resolve } = process();
    await resolve();
    const edits = 15;
    let last = 0;
    const editing = (async () => {
      for (let n = 1; n <= edits; n += 1) {
        await edit(n);
        last = n;
        await resolve();
      }
    })();
    const state = { over: false };
    void editing.finally(() => (state.over = true));
    const seen = new Set<number>();
    for (let lease = 0; !state.over || !seen.has(edits); lease += 1) {
      const after = last;
      const { recipe } = await resolve(`l${lease}`);
      const n = recipe.outputLimitBytes;
      seen.add(n);
      expect(recipe.variants).toEqual([{ provider: 'local', spec: { n } }]);
      expect(recipe.attempts).toBe((n % 9) + 1);
      expect(recipe.steps[1]).toMatchObject({ command: { command: ['say', String(n)] } });
      expect(n).toBeGreaterThanOrEqual(after);
      // The file beside it is written first: it may be one ahead of a bundle that was read before its edit.
      const sha256 = recipe.steps.flatMap((step) => ('file' in step ? [step.file.sha256 ?? ''] : []))[0] ?? '';
      expect([String(n), String(n + 1)]).toContain(Buffer.from(await blobs.get(sha256)).toString());
    }
    await editing;
    expect(seen.size).toBeGreaterThan(3);
  });
});
