import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { devEnvironment, type DevEnvironment } from '../../src/config/dev-environment.ts';
import { findTemporal } from '../../src/dev/temporal-find.ts';
import { cachedServer, serverPlatform } from '../../src/dev/temporal-cache.ts';
import { wantedCli } from '../../src/dev/temporal-version.ts';

let folder: string;
let bin: string;
let environment: DevEnvironment;
let said: string[];
let service: Server | undefined;
/** Nothing listens there: the network is refused. */
const refused = 'http://127.0.0.1:9';

const script = async (path: string, text: string) => {
  await mkdir(join(path, '..'), { recursive: true });
  await writeFile(path, `#!/bin/sh\n${text}\n`);
  await chmod(path, 0o755);
};
const temporalScript = (version: string, server = '1.31.2') =>
  `echo 'temporal version ${version} (Server ${server}, UI 2.50.1)'`;
const find = (downloadService = refused, signal?: AbortSignal) =>
  findTemporal({
    environment,
    downloadService,
    onProgress: ({ text }) => said.push(text),
    ...(signal === undefined ? {} : { signal }),
  });
const platform = serverPlatform(process.platform, process.arch) ?? { os: '', arch: '' };
const cachePath = () => cachedServer(environment.cacheFolder, wantedCli, platform);

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-find-'));
  bin = join(folder, 'bin');
  await mkdir(bin);
  const system = '/usr/bin:/bin';
  environment = {
    ...devEnvironment({ HOME: folder, PATH: bin }),
    variables: { HOME: folder, PATH: `${bin}:${system}` },
  };
  said = [];
});
afterEach(async () => {
  await new Promise<void>((done) => (service === undefined ? done() : service.close(() => done())));
  service = undefined;
  await rm(folder, { recursive: true, force: true });
});

describe('a Temporal server that is there', () => {
  test('is the one that SLIPWAY_TEMPORAL_CLI names, before the PATH', async () => {
    await script(join(bin, 'temporal'), temporalScript('1.8.2'));
    await script(join(folder, 'mine'), temporalScript('1.6.0'));
    environment = { ...environment, temporalCli: join(folder, 'mine') };
    expect(await find()).toMatchObject({ from: 'SLIPWAY_TEMPORAL_CLI', version: { cli: '1.6.0' } });
  });

  test.each([
    ['is missing', async () => undefined, /not an executable file/],
    ['is too old', (path: string) => script(path, temporalScript('1.1.0')), /1\.1\.0.*1\.5\.0 is the least/],
    ['is something else', (path: string) => script(path, 'echo hello'), /did not answer as a Temporal CLI/],
    ['fails', (path: string) => script(path, 'exit 3'), /ended with 3/],
  ])('is refused, not passed over, when what SLIPWAY_TEMPORAL_CLI names %s', async (_, make, message) => {
    await script(join(bin, 'temporal'), temporalScript('1.8.2'));
    await make(join(folder, 'mine'));
    environment = { ...environment, temporalCli: join(folder, 'mine') };
    await expect(find()).rejects.toMatchObject({ type: 'InvalidRequest', message: expect.stringMatching(message) });
  });

  test('is the one on the PATH, before the cache', async () => {
    await script(join(bin, 'temporal'), temporalScript('0.0.0-DEV'));
    await script(cachePath(), temporalScript('1.8.2'));
    expect(await find()).toMatchObject({ from: 'PATH', path: join(bin, 'temporal') });
    expect(said).toEqual([]);
  });

  test('is the one in the cache when that on the PATH is too old', async () => {
    await script(join(bin, 'temporal'), temporalScript('1.2.0', '1.25.0'));
    await script(cachePath(), temporalScript('1.8.2'));
    expect(await find()).toMatchObject({ from: 'cache', path: cachePath() });
  });
});

describe('a Temporal server that is not there', () => {
  const serve = async (archive: Buffer | undefined, status = 200) => {
    const asked: string[] = [];
    const server = createServer((request, response) => {
      asked.push(request.url ?? '');
      if (request.url?.startsWith('/cli/')) {
        const archiveUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/archive.tar.gz`;
        response.writeHead(status).end(JSON.stringify({ archiveUrl, fileToExtract: 'temporal' }));
      } else response.writeHead(200, { 'content-length': archive?.length ?? 0 }).end(archive);
    });
    service = server;
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
  };
  const archiveOf = async (text: string) => {
    await script(join(folder, 'pack', 'temporal'), text);
    return execFileSync('tar', ['-czf', '-', '-C', join(folder, 'pack'), 'temporal']);
  };
  /** Answers as `go` does: says packages, and leaves a CLI where it was told to. */
  const fakeGo = (fail = '') => `
    echo "$@" >> "${folder}/go-calls"; pwd > "${folder}/go-cwd"; cp go.mod "${folder}/go.mod.seen" 2>/dev/null
    ${fail}
    echo 'go: downloading go.temporal.io/server v1.31.2' >&2
    for p in internal/a github.com/temporalio/cli/internal github.com/temporalio/cli/cmd/temporal; do echo "$p" >&2; done
    case "$1" in
      build) while [ "$1" != -o ]; do shift; done; out=$2; v=1.8.2;;
      install) out="$GOBIN/temporal"; v=1.5.1;;
    esac
    printf '#!/bin/sh\\necho "temporal version %s (Server 1.31.2, UI 2.50.1)"\\n' $v > "$out"`;

  test('is downloaded into the cache, with progress, and taken from there the next time', async () => {
    const { url, asked } = await serve(await archiveOf(temporalScript('1.8.2')));
    expect(await find(url)).toMatchObject({ from: 'download', path: cachePath() });
    expect(asked[0]).toBe(`/cli/v1.8.2?platform=${platform.os}&arch=${platform.arch}&format=tar.gz`);
    expect(said[0]).toBe('slipway needs a Temporal dev server (1.8.2). Not on the PATH, not cached.');
    expect(said.at(-1)).toMatch(/Temporal CLI 1\.8\.2: \d+ of \d+ MB/);
    expect(await find(refused)).toMatchObject({ from: 'cache' });
    expect((await readdir(environment.cacheFolder)).filter((name) => name.endsWith('.part'))).toEqual([]);
  });

  test('is built with Go when the download is refused, from a module that repeats the replace directive', async () => {
    await script(join(bin, 'go'), fakeGo());
    expect(await find()).toMatchObject({ from: 'build', path: cachePath() });
    expect(await readFile(join(folder, 'go-calls'), 'utf8')).toMatch(
      /^build -v -mod=mod -trimpath -ldflags=-s -w -o \S+ github.com\/temporalio\/cli\/cmd\/temporal\n$/,
    );
    expect(await readFile(join(folder, 'go.mod.seen'), 'utf8')).toContain('replace github.com/temporalio/cli/cliext');
    expect(existsSync((await readFile(join(folder, 'go-cwd'), 'utf8')).trim())).toBe(false);
    expect(said).toEqual([
      expect.stringMatching(/^slipway needs a Temporal dev server/),
      expect.stringMatching(/^Download refused: fetch failed/),
      expect.stringMatching(/^Building it with Go, once/),
      expect.stringMatching(/^go: 1 modules fetched|^go build: \d+ of/),
    ]);
  });

  test('is built with Go when what was downloaded is an error page', async () => {
    await script(join(bin, 'go'), fakeGo());
    const { url } = await serve(undefined, 503);
    expect(await find(url)).toMatchObject({ from: 'build' });
    expect(said[1]).toMatch(/Download refused: .* answered 503/);
  });

  test('is an older one when the wanted one cannot be built', async () => {
    await script(join(bin, 'go'), fakeGo('[ "$1" = build ] && { echo "no such toolchain" >&2; exit 1; }'));
    const found = await find();
    expect(found).toMatchObject({ from: 'build', version: { cli: '1.5.1' } });
    expect(said.join('\n')).toMatch(/The build failed: go build ended with 1: no such toolchain/);
    expect(await find()).toMatchObject({ from: 'cache', path: found.path });
  });

  test('is explained in one sentence with the ways to get one, when nothing helps', async () => {
    await expect(find()).rejects.toMatchObject({
      type: 'ProviderUnavailable',
      message: expect.stringMatching(/none could be made\. Download refused.*Go is not on the PATH/),
      hint: expect.stringMatching(/PATH.*SLIPWAY_TEMPORAL_CLI.*install Go.*--temporal/),
    });
  });

  test('is made once for two that need it at once, and the second waits', async () => {
    await script(join(bin, 'go'), fakeGo(`while [ ! -e "${folder}/go-on" ]; do sleep 0.05; done`));
    const both = [find(), find()];
    await expect
      .poll(() => said.filter((text) => text.includes('waiting for it')), { timeout: 10_000 })
      .toHaveLength(1);
    await writeFile(join(folder, 'go-on'), '');
    const found = await Promise.all(both);
    expect(found.map(({ from }) => from).sort()).toEqual(['build', 'cache']);
    expect((await readFile(join(folder, 'go-calls'), 'utf8')).trim().split('\n')).toHaveLength(1);
  });

  test('is not left half made by one that is stopped in the middle', async () => {
    await script(join(bin, 'go'), fakeGo('exec sleep 60'));
    const stop = new AbortController();
    const stopped = find(refused, stop.signal);
    await expect.poll(() => existsSync(join(folder, 'go-calls')), { timeout: 10_000 }).toBe(true);
    stop.abort();
    await expect(stopped).rejects.toThrow(/abort/i);
    expect(existsSync(cachePath())).toBe(false);
    expect(existsSync(`${cachePath()}.part`)).toBe(false);
    await script(join(bin, 'go'), fakeGo());
    expect(await find()).toMatchObject({ from: 'build' });
  });
});
