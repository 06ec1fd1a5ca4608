import { readdir, stat, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { bytesOf, freshFolder, noise, roomy, sha256 } from './store-kit.ts';

async function* inChunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('blobs', () => {
  it('are stored under their digest, once, for their owner only', async () => {
    const root = join(await freshFolder(), 'blobs');
    const blobs = createFileBlobStore(root);
    const digest = await blobs.put(bytesOf('hello'));
    expect(digest).toBe(sha256('hello'));
    expect(await blobs.put(bytesOf('hello'))).toBe(digest);
    expect(await readdir(root)).toEqual([digest]);
    expect(Buffer.from(await blobs.get(digest)).toString()).toBe('hello');
    expect(await blobs.file(digest)).toEqual({ path: join(root, digest), bytes: 5 });
    expect((await stat(join(root, digest))).mode & 0o777).toBe(0o600);
    expect((await stat(root)).mode & 0o777).toBe(0o700);
  });

  it('are streamed, also the same one by several at once', async () => {
    const blobs = createFileBlobStore(await freshFolder());
    const bytes = noise(3_000_000);
    const digest = sha256(bytes);
    await Promise.all([1, 2, 3].map(() => blobs.putStream(digest, inChunks(bytes, 64_000), roomy)));
    expect(Buffer.from(await blobs.get(digest)).equals(bytes)).toBe(true);
  });

  it('are not kept when they hash to something else, grow too large or break off', async () => {
    const root = await freshFolder();
    const blobs = createFileBlobStore(root);
    const bytes = noise(1000);
    await expect(blobs.putStream(sha256('other'), inChunks(bytes, 100), roomy)).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining(sha256(bytes)),
    });
    await expect(blobs.putStream(sha256(bytes), inChunks(bytes, 100), 999)).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: expect.stringContaining('larger than the limit of 999 bytes'),
    });
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes;
      throw new Error('the caller hung up');
    };
    await expect(blobs.putStream(sha256(bytes), broken(), roomy)).rejects.toThrow('the caller hung up');
    expect(await readdir(root)).toEqual([]);
    expect(await blobs.has(sha256(bytes))).toBe(false);
    await expect(blobs.get(sha256(bytes))).rejects.toMatchObject({ type: 'NotFound' });
    await expect(blobs.file(sha256(bytes))).rejects.toMatchObject({ type: 'NotFound' });
  });

  it('are never named by anything but a digest', async () => {
    const blobs = createFileBlobStore(await freshFolder());
    for (const name of ['../x', '', 'A'.repeat(64)]) {
      await expect(blobs.has(name)).rejects.toMatchObject({ type: 'InvalidRequest' });
      await expect(blobs.putStream(name, inChunks(bytesOf('x'), 1), 9)).rejects.toMatchObject({
        type: 'InvalidRequest',
      });
    }
  });

  it('tell when one was damaged on the disk', async () => {
    const root = await freshFolder();
    const blobs = createFileBlobStore(root);
    const digest = await blobs.put(bytesOf('recipe'));
    await writeFile(join(root, digest), 'recipx');
    await expect(blobs.get(digest)).rejects.toMatchObject({
      type: 'Internal',
      message: expect.stringContaining('damaged'),
    });
  });

  it('lose what a crash left of an upload after a day, and nothing younger', async () => {
    const root = await freshFolder();
    await writeFile(join(root, '.part-1-old'), 'x');
    await writeFile(join(root, '.part-1-new'), 'x');
    const longAgo = new Date(Date.now() - 2 * 86_400_000);
    await utimes(join(root, '.part-1-old'), longAgo, longAgo);
    const digest = await createFileBlobStore(root).put(bytesOf('x'));
    expect((await readdir(root)).sort()).toEqual(['.part-1-new', digest].sort());
  });
});

describe('blobs that nobody has used for long', () => {
  const aged = async (root: string, name: string): Promise<void> => {
    const longAgo = new Date(Date.now() - 5 * 86_400_000);
    await utimes(join(root, name), longAgo, longAgo);
  };
  const dayAgo = (): number => Date.now() - 86_400_000;
  const open =
    (...holders: string[]) =>
    async (holder: string) =>
      holders.includes(holder);

  it('are removed, but those that were put, looked for or read again', async () => {
    const root = await freshFolder();
    const blobs = createFileBlobStore(root);
    const [unused = '', ...used] = await Promise.all(
      ['unused', 'put', 'has', 'get', 'file', 'stream'].map((text) => blobs.put(bytesOf(text))),
    );
    for (const name of [unused, ...used]) await aged(root, name);
    await blobs.put(bytesOf('put'));
    await blobs.has(sha256('has'));
    await blobs.get(sha256('get'));
    await blobs.file(sha256('file'));
    await blobs.putStream(sha256('stream'), inChunks(bytesOf('stream'), 3), roomy);
    expect(await blobs.expire(dayAgo(), open())).toBe(1);
    expect((await readdir(root)).sort()).toEqual(used.sort());
    expect(await blobs.expire(dayAgo(), open())).toBe(0);
  });

  it('are kept for who holds them, for as long as that is open', async () => {
    const root = await freshFolder();
    const held = join(root, 'held');
    const blobs = createFileBlobStore(root);
    const [one = '', two = '', three = ''] = await Promise.all(
      ['one', 'two', 'three'].map((text) => blobs.put(bytesOf(text))),
    );
    await blobs.hold('lease/open', [three]);
    await blobs.hold('lease/open', [one, one]);
    await blobs.hold('lease/closed', [two]);
    for (const name of [one, two, three]) await aged(root, name);
    // A hold that was made a moment ago may be older than its workflow.
    expect(await blobs.expire(dayAgo(), open())).toBe(1);
    expect(await blobs.has(three)).toBe(false);
    for (const name of await readdir(held)) await aged(held, name);
    for (const name of [one, two]) await aged(root, name);
    expect(await blobs.expire(dayAgo(), open('lease/open'))).toBe(1);
    expect(await blobs.has(one)).toBe(true);
    expect(await readdir(held)).toEqual(['lease%2Fopen']);
  });

  it('stay, all of them, while nobody can say what is open or needed', async () => {
    const root = await freshFolder();
    const blobs = createFileBlobStore(root);
    const digest = await blobs.put(bytesOf('kept'));
    await blobs.hold('lease/a', []);
    const hold = join(root, 'held', 'lease%2Fa');
    await aged(root, digest);
    await aged(join(root, 'held'), 'lease%2Fa');
    const unknown = new Error('nobody answers');
    await expect(blobs.expire(dayAgo(), () => Promise.reject(unknown))).rejects.toBe(unknown);
    await writeFile(hold, '["torn');
    await expect(blobs.expire(dayAgo(), open('lease/a'))).rejects.toMatchObject({ type: 'Internal' });
    await aged(root, digest);
    expect(await readdir(root)).toContain(digest);
  });
});
