import { readdir, rm, stat, writeFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFileOutputStore } from '../../src/output/file-output-store.ts';
import type { OutputChunk } from '../../src/output/output-store.ts';
import { bytesOf, followed, freshFolder, noise, resultOf, roomy } from './store-kit.ts';

const from0 = { stdout: 0, stderr: 0 };

describe('following output', () => {
  it('waits for a task that has not begun, gives every byte as it comes, and ends after the last', async () => {
    const store = createFileOutputStore(await freshFolder());
    const out = noise(1_500_000);
    const following = followed(store, 'a/b');
    const writer = await store.open('a/b', roomy);
    for (let at = 0; at < out.length; at += 100_000) {
      await writer.write('stdout', at, out.subarray(at, at + 100_000));
      await writer.write('stderr', at / 100_000, bytesOf('.'));
    }
    await writer.end(resultOf('b'));
    await writer.close();
    const got = await following;
    expect(got.stdout.equals(out)).toBe(true);
    expect(got.stderr.toString()).toBe('.'.repeat(15));
  });

  it('gives a byte to whoever looks on before the task has ended', async () => {
    const store = createFileOutputStore(await freshFolder());
    const writer = await store.open('a/b', roomy);
    const following = store.follow('a/b', from0, new AbortController().signal)[Symbol.asyncIterator]();
    const seen: unknown[] = [];
    for (const [at, text] of ['x', 'y'].entries()) {
      await writer.write('stdout', at, bytesOf(text));
      const { offset, bytes } = (await following.next()).value as OutputChunk;
      seen.push([offset, Buffer.from(bytes).toString()]);
    }
    expect(seen).toEqual([
      [0, 'x'],
      [1, 'y'],
    ]);
    await following.return?.(undefined);
    await writer.close();
  });

  it('goes on from the offsets that a reader has, also beyond what a cut stream kept', async () => {
    const store = createFileOutputStore(await freshFolder());
    const writer = await store.open('a/b', 6);
    await writer.write('stdout', 0, bytesOf('abcdefgh'));
    await writer.end(resultOf('b'));
    await writer.close();
    expect((await followed(store, 'a/b', { stdout: 4, stderr: 0 })).stdout.toString()).toBe('ef');
    expect((await followed(store, 'a/b', { stdout: 7, stderr: 3 })).stdout.toString()).toBe('');
    expect(await store.stat('a/b')).toEqual({ stdout: { keptBytes: 6 }, stderr: { keptBytes: 0 }, end: resultOf('b') });
  });

  it('ends when it is aborted, before and while it waits', async () => {
    const store = createFileOutputStore(await freshFolder());
    expect(await followed(store, 'a/b', from0, AbortSignal.abort())).toEqual({
      stdout: Buffer.of(),
      stderr: Buffer.of(),
    });
    const abort = new AbortController();
    const following = followed(store, 'a/b', from0, abort.signal);
    abort.abort();
    expect((await following).stdout).toHaveLength(0);
  });

  it('fails when the output is removed meanwhile', async () => {
    const root = await freshFolder();
    const store = createFileOutputStore(root);
    const writer = await store.open('a/b', roomy);
    await writer.write('stdout', 0, bytesOf('x'));
    const following = store.follow('a/b', from0, new AbortController().signal)[Symbol.asyncIterator]();
    await following.next();
    await writer.close();
    await rm(join(root, 'a'), { recursive: true });
    await expect(following.next()).rejects.toMatchObject({ type: 'Gone' });
  });
});

describe('output of long ago', () => {
  const open = async (): Promise<boolean> => true;

  it('is removed with its folders, while what runs or ended later stays', async () => {
    const root = await freshFolder();
    const store = createFileOutputStore(root);
    for (const key of ['old/job', 'machine/old.1/step/0', 'both/old', 'both/running']) {
      const writer = await store.open(key, roomy);
      await writer.write('stdout', 0, bytesOf(key));
      if (!key.endsWith('running')) await writer.end(resultOf('x'));
      await writer.close();
    }
    await writeFile(join(root, 'old/job/.part-1-a'), 'left by a crash');
    const later = (await stat(join(root, 'both/old/meta.json'))).mtimeMs + 60_000;
    expect(await store.expire(0, open)).toBe(0);
    expect(await store.expire(later, open)).toBe(3);
    expect(await readdir(root)).toEqual(['both']);
    expect(await readdir(join(root, 'both'))).toEqual(['running']);
    expect(await store.stat('old/job')).toBeUndefined();
    expect(await store.expire(later, open)).toBe(0);
  });

  it('counts its age from the first time that the end was stored', async () => {
    const root = await freshFolder();
    const store = createFileOutputStore(root);
    const writer = await store.open('a/b', roomy);
    await writer.end(resultOf('b'));
    const ended = (await stat(join(root, 'a/b/meta.json'))).mtimeMs;
    await expect.poll(() => Date.now()).toBeGreaterThan(ended + 20);
    const repeated = Date.now();
    await writer.end(resultOf('b'));
    await writer.close();
    expect(await store.expire(repeated, open)).toBe(1);
  });

  it('of a task that never ended is removed once it is at rest and nobody can end it any more', async () => {
    const root = await freshFolder();
    const store = createFileOutputStore(root);
    for (const key of ['silent/job', 'terminated/job', 'machine/terminated.1/step/0', 'writing/job']) {
      const writer = await store.open(key, roomy);
      await writer.write('stderr', 0, bytesOf(key));
      await writer.close();
    }
    const longAgo = new Date(Date.now() - 60_000);
    for (const key of ['silent/job', 'terminated/job', 'machine/terminated.1/step/0'])
      for (const name of await readdir(join(root, key))) await utimes(join(root, key, name), longAgo, longAgo);
    const asked: string[] = [];
    const isOpen = async (key: string): Promise<boolean> => {
      asked.push(key);
      return key.startsWith('silent');
    };
    expect(await store.expire(Date.now() - 30_000, isOpen)).toBe(2);
    expect(asked.sort()).toEqual(['machine/terminated.1/step/0', 'silent/job', 'terminated/job']);
    expect((await readdir(root)).sort()).toEqual(['silent', 'writing']);
    const unknown = new Error('nobody answers');
    await expect(store.expire(Date.now() + 60_000, () => Promise.reject(unknown))).rejects.toBe(unknown);
    expect((await readdir(root)).sort()).toEqual(['silent', 'writing']);
  });
});
