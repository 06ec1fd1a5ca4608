import * as fc from 'fast-check';
import { mkdir, readFile, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { emptySha256 } from '../../src/domain/task.ts';
import { createFileOutputStore } from '../../src/output/file-output-store.ts';
import { bytesOf, followed, freshFolder, noise, resultOf, roomy, sha256 } from './store-kit.ts';

describe('writing output', () => {
  it('keeps both streams apart, byte for byte, and says their sizes and hashes', async () => {
    const store = createFileOutputStore(await freshFolder());
    const out = Buffer.concat([Buffer.from([0, 255, 254, 10, 13]), noise(100_000)]);
    const writer = await store.open('lease/job', roomy);
    await writer.write('stdout', 0, out.subarray(0, 7));
    await writer.write('stderr', 0, bytesOf('oh'));
    await writer.write('stdout', 7, out.subarray(7));
    expect(writer.offsets).toEqual({ stdout: out.length, stderr: 2 });
    expect(await writer.finish({ stdout: out.length, stderr: 2 })).toEqual({
      stdout: { bytes: out.length, keptBytes: out.length, cut: false, sha256: sha256(out) },
      stderr: { bytes: 2, keptBytes: 2, cut: false, sha256: sha256('oh') },
    });
    await writer.close();
    expect(Buffer.from(await store.read('lease/job', 'stdout', 0, roomy))).toEqual(out);
    expect(Buffer.from(await store.read('lease/job', 'stdout', 3, 6))).toEqual(out.subarray(3, 6));
    expect(await store.read('lease/job', 'stderr', 2, 9)).toHaveLength(0);
  });

  it('is the same whatever the chunks, their repeats and the restarts between them', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 400 }),
        fc.array(fc.record({ back: fc.nat(60), length: fc.nat(120), restart: fc.boolean(), sync: fc.boolean() }), {
          maxLength: 12,
        }),
        fc.option(fc.nat(300)),
        async (bytes, moves, limit) => {
          const root = await freshFolder();
          let store = createFileOutputStore(root);
          const limitBytes = limit ?? roomy;
          let writer = await store.open('a/b', limitBytes);
          for (const move of moves) {
            if (move.restart) {
              await writer.close();
              store = createFileOutputStore(root);
              writer = await store.open('a/b', limitBytes);
            }
            const start = Math.max(0, writer.offsets.stdout - move.back);
            await writer.write('stdout', start, bytes.subarray(start, start + move.length));
            if (move.sync) await writer.sync();
          }
          const rest = writer.offsets.stdout;
          await writer.write('stdout', rest, bytes.subarray(rest));
          const { stdout } = await writer.finish({ stdout: bytes.length, stderr: 0 });
          await writer.close();
          const kept = bytes.subarray(0, limitBytes);
          expect(await readFile(join(root, 'a/b/out'))).toEqual(Buffer.from(kept));
          expect(stdout).toEqual({
            bytes: bytes.length,
            keptBytes: kept.length,
            cut: bytes.length > kept.length,
            sha256: sha256(kept),
          });
        },
      ),
      { numRuns: 60 },
    );
  });

  it('refuses a chunk that would leave a hole, and goes on from the right offset', async () => {
    const store = createFileOutputStore(await freshFolder());
    const writer = await store.open('a/b', roomy);
    await writer.write('stdout', 0, bytesOf('abc'));
    await expect(writer.write('stdout', 4, bytesOf('e'))).rejects.toThrow(
      'stdout of task a/b was written at 4, but ends at 3',
    );
    await writer.write('stdout', 3, bytesOf('de'));
    expect(writer.offsets.stdout).toBe(5);
    await writer.close();
  });

  it('does not change what is stored when a repeat brings other bytes', async () => {
    const store = createFileOutputStore(await freshFolder());
    const writer = await store.open('a/b', roomy);
    await writer.write('stdout', 0, bytesOf('abc'));
    await writer.write('stdout', 1, bytesOf('XYZ'));
    expect(Buffer.from(await store.read('a/b', 'stdout', 0, 9)).toString()).toBe('abcZ');
    await writer.close();
  });

  it('takes writes of one stream that do not wait for each other', async () => {
    const store = createFileOutputStore(await freshFolder());
    const writer = await store.open('a/b', roomy);
    const bytes = noise(64 * 1000);
    await Promise.all(
      Array.from({ length: 64 }, (_, n) => writer.write('stdout', n * 1000, bytes.subarray(n * 1000, n * 1000 + 1000))),
    );
    expect((await writer.finish({ stdout: 0, stderr: 0 })).stdout.sha256).toBe(sha256(bytes));
    await writer.close();
  });

  it('lets two writers that bring the same bytes do no harm', async () => {
    const store = createFileOutputStore(await freshFolder());
    const bytes = noise(50_000);
    const [one, other] = [await store.open('a/b', roomy), await store.open('a/b', roomy)];
    for (let at = 0; at < bytes.length; at += 5000) {
      await Promise.all([
        one.write('stdout', at, bytes.subarray(at, at + 5000)),
        other.write('stdout', Math.max(0, at - 700), bytes.subarray(Math.max(0, at - 700), at + 5000)),
      ]);
    }
    const results = await Promise.all([one, other].map((writer) => writer.finish({ stdout: 0, stderr: 0 })));
    expect(results.map((result) => result.stdout.sha256)).toEqual([sha256(bytes), sha256(bytes)]);
    expect(Buffer.from(await store.read('a/b', 'stdout', 0, roomy))).toEqual(bytes);
    await Promise.all([one.close(), other.close()]);
  });
});

describe('the limit of a stream', () => {
  it('keeps what fits, counts the rest and marks the cut', async () => {
    const store = createFileOutputStore(await freshFolder());
    const writer = await store.open('a/b', 10);
    await writer.write('stdout', 0, bytesOf('0123456'));
    await writer.write('stdout', 7, bytesOf('789abc'));
    await writer.write('stdout', 13, noise(1000));
    await writer.write('stderr', 0, bytesOf('0123456789'));
    expect(writer.offsets).toEqual({ stdout: 1013, stderr: 10 });
    expect(await writer.finish({ stdout: 2000, stderr: 10 })).toEqual({
      stdout: { bytes: 2000, keptBytes: 10, cut: true, sha256: sha256('0123456789') },
      stderr: { bytes: 10, keptBytes: 10, cut: false, sha256: sha256('0123456789') },
    });
    await writer.close();
  });

  it('goes on counting where it was after a restart, and keeps the limit that cut it', async () => {
    const root = await freshFolder();
    const first = await createFileOutputStore(root).open('a/b', 10);
    await first.write('stdout', 0, noise(5000));
    await first.sync();
    await first.close();
    const second = await createFileOutputStore(root).open('a/b', roomy);
    expect(second.offsets).toEqual({ stdout: 5000, stderr: 0 });
    await second.write('stdout', 5000, noise(5));
    expect((await second.finish({ stdout: 0, stderr: 0 })).stdout).toMatchObject({
      bytes: 5005,
      keptBytes: 10,
      cut: true,
    });
    await second.close();
  });

  it('may be nothing at all', async () => {
    const store = createFileOutputStore(await freshFolder());
    const writer = await store.open('a/b', 0);
    await writer.write('stdout', 0, bytesOf('x'));
    expect((await writer.finish({ stdout: 1, stderr: 0 })).stdout).toEqual({
      bytes: 1,
      keptBytes: 0,
      cut: true,
      sha256: emptySha256,
    });
    await writer.close();
  });
});

describe('a disk that is full', () => {
  it('fails with what to do, keeps what was stored, and is tried again later', async () => {
    const root = await freshFolder();
    await mkdir(join(root, 'a/b'), { recursive: true });
    await symlink('/dev/full', join(root, 'a/b/out'));
    const store = createFileOutputStore(root);
    const full = await store.open('a/b', roomy);
    await full.write('stderr', 0, bytesOf('fine'));
    await expect(full.write('stdout', 0, bytesOf('abc'))).rejects.toMatchObject({
      type: 'Internal',
      message: expect.stringContaining('Could not store stdout of task a/b at byte 0: no space is left'),
      hint: expect.stringContaining('Free space'),
    });
    expect(full.offsets).toEqual({ stdout: 0, stderr: 4 });
    await full.close();
    await unlink(join(root, 'a/b/out'));
    const roomier = await store.open('a/b', roomy);
    await roomier.write('stdout', 0, bytesOf('abc'));
    expect((await roomier.finish({ stdout: 3, stderr: 4 })).stdout.sha256).toBe(sha256('abc'));
    await roomier.close();
  });

  it('is told as such when not even a folder can be made', async () => {
    const root = join(await freshFolder(), 'file');
    await writeFile(root, '');
    await expect(createFileOutputStore(root).open('a/b', roomy)).rejects.toMatchObject({
      type: 'Internal',
      message: expect.stringContaining(root),
      hint: expect.stringContaining('must be a folder that this user may write'),
    });
  });
});

describe('the place of output', () => {
  it.each(['../x', 'a/../../x', 'a//b', '', '/a/b', 'a/.', 'a/.hidden', 'a/b\0c', 'a\\..\\b'])(
    'refuses the key %j',
    async (key) => {
      const store = createFileOutputStore(await freshFolder());
      await expect(store.open(key, roomy)).rejects.toMatchObject({ type: 'InvalidRequest' });
      await expect(store.stat(key)).rejects.toMatchObject({ type: 'InvalidRequest' });
      await expect(followed(store, key)).rejects.toMatchObject({ type: 'InvalidRequest' });
    },
  );

  it('is readable by its owner only, and nested keys do not meet', async () => {
    const root = await freshFolder();
    const store = createFileOutputStore(root);
    for (const key of ['machine/x.1', 'machine/x.1/step/0', 'machine/out']) {
      const writer = await store.open(key, roomy);
      await writer.write('stdout', 0, bytesOf(key));
      await writer.end(resultOf('t'));
      await writer.close();
    }
    expect((await stat(join(root, 'machine/x.1/out'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(root, 'machine/x.1/meta.json'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(root, 'machine'))).mode & 0o777).toBe(0o700);
    expect(Buffer.from(await store.read('machine/x.1/step/0', 'stdout', 0, 99)).toString()).toBe('machine/x.1/step/0');
  });

  it('says nothing of a task that never wrote', async () => {
    const store = createFileOutputStore(await freshFolder());
    expect(await store.stat('a/b')).toBeUndefined();
    expect(await store.read('a/b', 'stdout', 0, 10)).toHaveLength(0);
  });
});
