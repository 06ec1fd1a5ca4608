import { utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { fetchTo } from '../../src/activities/transfer.ts';
import type { FetchSink, FetchedFile } from '../../src/guest/guest.ts';
import { createFetchedStore } from '../../src/output/fetched-store.ts';
import { freshFolder, noise, sha256 } from './store-kit.ts';

const soon = (): AbortSignal => AbortSignal.timeout(10_000);
const stamps: string[] = [];
const onStamp = (stamp: string): void => void stamps.push(stamp);

/** A guest with one file, which may be cut off or change while it is read. */
function guestWith(reads: readonly { bytes: Buffer; stamp: string; cutAt?: number; says?: string }[]) {
  const froms: number[] = [];
  let n = 0;
  const fetchFile = async (path: string, sink: FetchSink): Promise<FetchedFile> => {
    const read = reads[Math.min(n, reads.length - 1)];
    if (!read) throw new Error('no read');
    n += 1;
    const from = sink.had?.stamp === read.stamp ? sink.had.bytes : 0;
    froms.push(from);
    await sink.begin(read.stamp, from);
    for (let at = from; at < read.bytes.length; at += 1_000) {
      if (read.cutAt !== undefined && at >= read.cutAt) throw new Error('cut');
      await sink.write(at, read.bytes.subarray(at, at + 1_000));
    }
    const digest = read.says ?? sha256(read.bytes);
    return { path, bytes: read.bytes.length, mode: '644', tree: false, changed: false, sha256: digest };
  };
  return { guest: { fetchFile }, froms };
}

describe('a fetched file', () => {
  it('goes on where an earlier attempt of the same id stood, and is kept by its digest', async () => {
    const fetched = createFetchedStore(join(await freshFolder(), 'fetched'));
    const bytes = noise(10_000);
    const { guest, froms } = guestWith([
      { bytes, stamp: 's', cutAt: 4_000 },
      { bytes, stamp: 's' },
    ]);
    await expect(fetchTo({ fetched }, guest, 'l/f', '/x', undefined, onStamp, soon())).rejects.toThrow('cut');
    const result = await fetchTo({ fetched }, guest, 'l/f', '/x', stamps.at(-1), onStamp, soon());
    expect(froms).toEqual([0, 4_000]);
    expect(result).toEqual({ path: '/x', bytes: 10_000, mode: '644', tree: false, sha256: sha256(bytes) });
    expect((await fetched.file(result.sha256)).bytes).toBe(10_000);
  });

  it('is read again when it changed meanwhile, and given up when it never stands still', async () => {
    const fetched = createFetchedStore(await freshFolder());
    const [old, young] = [noise(5_000), noise(3_000)];
    const once = guestWith([
      { bytes: old, stamp: 'a', says: sha256('other') },
      { bytes: young, stamp: 'b' },
    ]);
    expect((await fetchTo({ fetched }, once.guest, 'l/g', '/x', undefined, onStamp, soon())).sha256).toBe(
      sha256(young),
    );
    const always = guestWith([{ bytes: old, stamp: 'a', says: sha256('other') }]);
    await expect(fetchTo({ fetched }, always.guest, 'l/h', '/x', undefined, onStamp, soon())).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: '/x changes while it is fetched, 3 times in a row.',
    });
    expect(always.froms).toEqual([0, 0, 0]);
  });

  it('of no bytes is one too', async () => {
    const fetched = createFetchedStore(await freshFolder());
    const { guest } = guestWith([{ bytes: Buffer.of(), stamp: 'e' }]);
    const { sha256: digest } = await fetchTo({ fetched }, guest, 'l/e', '/x', undefined, onStamp, soon());
    expect(await fetched.file(digest)).toMatchObject({ bytes: 0 });
  });

  it('expires, and is not there for who names no digest', async () => {
    const folder = await freshFolder();
    const fetched = createFetchedStore(folder);
    const { guest } = guestWith([{ bytes: noise(10), stamp: 's' }]);
    const { sha256: digest } = await fetchTo({ fetched }, guest, 'l/f', '/x', undefined, onStamp, soon());
    await fetched.expire(Date.now() - 60_000);
    const { path } = await fetched.file(digest);
    await utimes(path, 1, 1);
    await fetched.expire(Date.now() - 60_000);
    await expect(fetched.file(digest)).rejects.toMatchObject({ type: 'NotFound' });
    await expect(fetched.file('../../etc/passwd')).rejects.toMatchObject({ type: 'NotFound' });
  });
});
