import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { spokenDuration } from '../../src/config/bundle-limits.ts';
import { resolveBundle } from '../../src/config/bundle-resolve.ts';
import { packageBundlesFolder } from '../../src/config/bundle-folders.ts';
import { createBundles } from '../../src/config/bundles.ts';
import type { LeaseRequest } from '../../src/domain/lease.ts';
import { createFileBlobStore } from '../../src/output/file-blob-store.ts';
import { bytesOf, freshFolder, sha256 } from '../output/store-kit.ts';

async function resolving(text: string, besides: Readonly<Record<string, string>> = {}) {
  const folder = await freshFolder();
  await writeFile(join(folder, 'web.yaml'), text);
  for (const [name, content] of Object.entries(besides)) await writeFile(join(folder, name), content);
  const bundles = createBundles({ folders: [folder], providers: ['local', 'static'] });
  const blobs = createFileBlobStore(join(folder, 'blobs'));
  const resolve = async (request: Partial<LeaseRequest> = {}, holder?: string) =>
    resolveBundle(await bundles.get('web'), { leaseId: 'l', bundle: 'web', ...request }, blobs, holder);
  return { resolve, blobs, folder };
}

const plain = 'variants: [{provider: local}]\n';
const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB me';

describe('a bundle resolved for a lease', () => {
  it('keeps all that the lease needs for as long as the lease is open', async () => {
    const { resolve, blobs, folder } = await resolving(`${plain}files: [{path: ~/a, text: hello}]\n`);
    const [file = '', stdin = '', other = ''] = await Promise.all(
      ['file', 'stdin', 'other'].map((text) => blobs.put(bytesOf(text))),
    );
    const job = { command: ['cat'], stdin: { blob: stdin } };
    const { plan } = await resolve({ files: [{ blob: file, path: '/f' }], job }, 'lease/l');
    const later = Date.now() + 60_000;
    expect(await blobs.expire(later, async () => true)).toBe(1);
    for (const needed of [plan.bundle.digest, sha256('hello'), file, stdin]) expect(await blobs.has(needed)).toBe(true);
    expect(await blobs.has(other)).toBe(false);
    expect(await readdir(join(folder, 'blobs', 'held'))).toEqual(['lease%2Fl']);
  });

  it('holds nothing for who only looks: another body under a lease’s id takes nothing from that lease', async () => {
    const { resolve, blobs } = await resolving(plain);
    const file = await blobs.put(bytesOf('file'));
    await resolve({ files: [{ blob: file, path: '/f' }] }, 'lease/l');
    await resolve({ ttlMs: 60_000 });
    await blobs.expire(Date.now() + 60_000, async () => true);
    expect(await blobs.has(file)).toBe(true);
  });

  it('becomes steps in the order files, commands, keys, the caller’s files, with the recipe stored by its digest', async () => {
    const { resolve, blobs } = await resolving(
      `variants: [{provider: static, group: lab}, {provider: local, diskMb: 64}]
files:
  - {path: ~/a, text: hello, mode: '0640', owner: root, group: '0', parents: true}
  - {path: /b, from: b.bin}
  - {path: /c, url: 'https://example.org/c', sha256: ${sha256('c')}}
commands:
  - {title: Update, run: [apt-get, update], env: {A: b}, secretEnv: {T: token}, cwd: /, user: root, limitMs: 10s, allowFailure: true}
  - shell: "echo one\\n  echo two"
ready: {command: [test, -e, /b], everyMs: 2s}
readyWithinMs: 10m
loadWithinMs: 90s
lease: {ttlMs: 30m, maxTtlMs: 2h}
attempts: 3
outputLimitBytes: 1000
`,
      { 'b.bin': 'bytes' },
    );
    const blob = await blobs.put(bytesOf('mine'));
    const request = {
      authorizedKeys: [key],
      files: [
        { blob, path: '/d', mode: '0600' },
        { url: 'https://example.org/e', path: '/e' },
      ],
    };
    const { recipe, plan } = await resolve(request);
    expect(recipe).toEqual({
      name: 'web',
      variants: [
        { provider: 'static', spec: { group: 'lab' } },
        { provider: 'local', spec: { diskMb: 64 } },
      ],
      steps: [
        {
          title: '~/a 0640',
          file: {
            path: '~/a',
            source: { blob: sha256('hello') },
            sha256: sha256('hello'),
            mode: '0640',
            owner: 'root',
            group: '0',
            parents: true,
          },
        },
        { title: '/b', file: { path: '/b', source: { blob: sha256('bytes') }, sha256: sha256('bytes') } },
        { title: '/c', file: { path: '/c', source: { url: 'https://example.org/c' }, sha256: sha256('c') } },
        {
          title: 'Update',
          command: {
            command: ['apt-get', 'update'],
            env: { A: 'b' },
            secretEnv: { T: 'token' },
            cwd: '/',
            user: 'root',
            limitMs: 10_000,
            allowFailure: true,
          },
        },
        {
          title: 'echo one echo two',
          command: { command: { shell: 'echo one\n  echo two' }, limitMs: 480_000, allowFailure: false },
        },
        { title: 'authorized keys (1)', authorizedKeys: [key] },
        { title: '/d 0600', file: { path: '/d', source: { blob }, sha256: blob, mode: '0600' } },
        { title: '/e', file: { path: '/e', source: { url: 'https://example.org/e' } } },
      ],
      gate: { kind: 'command', command: ['test', '-e', '/b'], everyMs: 2000 },
      limits: {
        readyWithinMs: 600_000,
        provisionWithinMs: 240_000,
        loadWithinMs: 90_000,
        accessWithinMs: 240_000,
        customizeWithinMs: 480_000,
      },
      ttlMs: 1_800_000,
      maxTtlMs: 7_200_000,
      attempts: 3,
      outputLimitBytes: 1000,
      reclaim: 'destroy',
    });
    expect(plan).toMatchObject({ variants: ['static', 'local'], gate: 'command', ttlMs: 1_800_000, attempts: 3 });
    expect(plan.steps.map(({ limitMs, allowFailure }) => [limitMs, allowFailure])).toEqual(
      [480_000, 480_000, 480_000, 10_000, 480_000, 480_000, 480_000, 480_000].map((limitMs) => [
        limitMs,
        limitMs === 10_000,
      ]),
    );
    expect(plan.bundle).toEqual({ name: 'web', digest: sha256(JSON.stringify(recipe)) });
    expect(JSON.parse(Buffer.from(await blobs.get(plan.bundle.digest)).toString())).toEqual(recipe);
    expect(Buffer.from(await blobs.get(sha256('bytes'))).toString()).toBe('bytes');
    expect((await resolve(request)).plan).toEqual(plan);
  });

  it('has defaults where the file is silent', async () => {
    const { resolve } = await resolving(plain);
    expect((await resolve()).recipe).toEqual({
      name: 'web',
      variants: [{ provider: 'local', spec: {} }],
      steps: [],
      gate: { kind: 'steps' },
      limits: {
        readyWithinMs: 300_000,
        provisionWithinMs: 120_000,
        loadWithinMs: 180_000,
        accessWithinMs: 120_000,
        customizeWithinMs: 240_000,
      },
      ttlMs: 3_600_000,
      maxTtlMs: 86_400_000,
      attempts: 2,
      outputLimitBytes: 1_073_741_824,
      reclaim: 'destroy',
    });
  });

  it('says how a machine is used again, with commands and folders of its own', async () => {
    const text = `${plain}reclaim: reset
resetCommands: [{title: Drop, shell: dropdb tenant, limitMs: 5s}, {run: [rm, -rf, /data/x], allowFailure: true}]
resetLeaves: [/data]
`;
    const { resolve } = await resolving(text);
    const { recipe, plan } = await resolve();
    expect(recipe).toMatchObject({
      reclaim: 'reset',
      resetCommands: [
        { title: 'Drop', command: { command: { shell: 'dropdb tenant' }, limitMs: 5_000, allowFailure: false } },
        { title: 'rm -rf /data/x', command: { limitMs: 240_000, allowFailure: true } },
      ],
      resetLeaves: ['/data'],
    });
    expect(plan.reclaim).toBe('reset');
    expect((await (await resolving(plain)).resolve()).plan).not.toHaveProperty('reclaim');
  });

  it('says where the host keys of its machines come from, in one of the words for it', async () => {
    const { resolve, blobs } = await resolving(`${plain}hostKey: checkin\n`);
    const { recipe, plan } = await resolve();
    expect([recipe.hostKey, plan.hostKey]).toEqual(['checkin', 'checkin']);
    expect(JSON.parse(Buffer.from(await blobs.get(plan.bundle.digest)).toString())).toMatchObject({
      hostKey: 'checkin',
    });
    const other = await resolving(`${plain}hostKey: anything\n`);
    await expect(other.resolve()).rejects.toMatchObject({ message: expect.stringMatching(/hostKey.*first-use/) });
  });

  it('lasts as the caller wants within the maximum, and at least as long as its job may', async () => {
    const { resolve } = await resolving(`${plain}lease: {maxTtlMs: 3h}`);
    const ttlOf = async (request: Partial<LeaseRequest>) => (await resolve(request)).plan.ttlMs;
    const job = { command: ['x'], limitMs: 7_200_000, graceMs: 0 };
    expect(await ttlOf({ ttlMs: 5000, attempts: 1 })).toBe(5000);
    expect(await ttlOf({ job: { command: ['x'], limitMs: 1000 } })).toBe(3_600_000);
    expect(await ttlOf({ job })).toBe(7_260_000);
    expect(await ttlOf({ job, ttlMs: 5000 })).toBe(5000);
    expect(await ttlOf({ job: { ...job, limitMs: 10_800_000 } })).toBe(10_800_000);
    expect((await resolve({ attempts: 5 })).recipe.attempts).toBe(5);
  });

  it.each<[string, unknown, string]>([
    ['steps', { kind: 'steps' }, 'steps'],
    ['manual', { kind: 'manual' }, 'manual'],
    ['{command: [a], everyMs: 2s}', { kind: 'command', command: ['a'], everyMs: 2000 }, 'command'],
    [
      '{all: [steps, {command: [a]}, {command: [b], everyMs: 5s}]}',
      {
        kind: 'all',
        commands: [
          { command: ['a'], everyMs: 1000 },
          { command: ['b'], everyMs: 5000 },
        ],
        manual: false,
      },
      'command',
    ],
    [
      '{all: [{command: [a]}, manual]}',
      { kind: 'all', commands: [{ command: ['a'], everyMs: 1000 }], manual: true },
      'all',
    ],
    [
      '{any: [manual, {command: [a]}]}',
      { kind: 'any', commands: [{ command: ['a'], everyMs: 1000 }], manual: true },
      'any',
    ],
    ['{any: [steps, {command: [a]}]}', { kind: 'steps' }, 'steps'],
    ['{all: [steps]}', { kind: 'steps' }, 'steps'],
    ['{any: [manual]}', { kind: 'manual' }, 'manual'],
  ])('that says `ready: %s` has that gate', async (ready, gate, planned) => {
    const { resolve } = await resolving(`${plain}ready: ${ready}\n`);
    const { recipe, plan } = await resolve();
    expect([recipe.gate, plan.gate]).toEqual([gate, planned]);
  });

  it('is refused with everything that the request asks beyond it', async () => {
    const { resolve, blobs } = await resolving(`${plain}lease: {maxTtlMs: 90m}`);
    const missing = sha256('nowhere');
    await blobs.put(bytesOf('there'));
    const asking = resolve({
      ttlMs: 7_200_000,
      holdAfterJobMs: 1,
      files: [
        { blob: missing, path: '/a' },
        { blob: sha256('there'), path: '/b' },
        { blob: sha256('there'), path: '/b' },
      ],
      collect: ['~/out', '/x', '~/out'],
    });
    await expect(asking).rejects.toMatchObject({
      type: 'InvalidRequest',
      message: `Lease l: ttlMs is 2h, but bundle \`web\` allows 1h 30m (lease.maxTtlMs); holdAfterJobMs is given, but there is no job; files has /b more than once; collect has ~/out more than once; file /a: there is no blob ${missing}; upload it first (PUT /v1/blobs/${missing}).`,
    });
    await expect(resolve({ job: { command: ['x'], stdin: { blob: missing } } })).rejects.toThrow(
      'job.stdin: there is no blob',
    );
  });

  it('of the package is hello: two files in the home of whoever logs in', async () => {
    const blobs = createFileBlobStore(await freshFolder());
    const bundle = await createBundles({ folders: [packageBundlesFolder()], providers: ['local'] }).get('hello');
    const { recipe, plan } = await resolveBundle(bundle, { leaseId: 'l', bundle: 'hello' }, blobs);
    expect(plan.steps.map((step) => step.title)).toEqual(['~/greeting.sh 0755', '~/names.txt 0644']);
    const [greeting] = recipe.steps;
    const blob = greeting !== undefined && 'file' in greeting ? (greeting.file.sha256 ?? '') : '';
    expect(Buffer.from(await blobs.get(blob)).toString()).toMatch(/^#!\/bin\/sh\n/);
  });

  it('speaks of durations as a bundle writes them', () => {
    expect([0, 1, 1500, 3_600_000, 90_061_000].map(spokenDuration)).toEqual([
      '0ms',
      '1ms',
      '1s 500ms',
      '1h',
      '1d 1h 1m 1s',
    ]);
  });
});
