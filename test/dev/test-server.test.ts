import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findTestServer } from '../../scripts/test-server.mjs';
import { devEnvironment } from '../../src/config/dev-environment.ts';

let folder: string;
let bin: string;
let said: string[];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'slipway-test-server-'));
  bin = join(folder, 'bin');
  await mkdir(bin);
  said = [];
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const script = async (name: string, text: string) => {
  await writeFile(join(bin, name), `#!/bin/sh\n${text}\n`);
  await chmod(join(bin, name), 0o755);
};
const find = (variables: Record<string, string> = {}) => {
  const environment = devEnvironment({ HOME: folder, PATH: bin, ...variables });
  return findTestServer({
    environment: { ...environment, variables: { ...environment.variables, PATH: `${bin}:/usr/bin:/bin` } },
    say: (text) => said.push(text),
    // Nothing listens there.
    service: 'http://127.0.0.1:9',
  });
};

test('a test server that is named is taken, and refused when it is not there', async () => {
  await script('mine', 'exit 0');
  expect(await find({ SLIPWAY_TEST_SERVER: join(bin, 'mine') })).toMatchObject({ from: 'SLIPWAY_TEST_SERVER' });
  await expect(find({ SLIPWAY_TEST_SERVER: join(bin, 'other') })).rejects.toThrow(/not an executable file/);
});

test('a test server that cannot be had says why', async () => {
  expect(await find()).toEqual({
    missing: expect.stringMatching(
      /^download refused: .*; Java and Maven are not both on the PATH\. Name one in SLIPWAY_TEST_SERVER/,
    ),
  });
});

test('a test server comes from Maven once, and with a class archive where Java writes one', async () => {
  await script(
    'mvn',
    `echo "$@" >> ${folder}/mvn-calls; for a in "$@"; do case $a in -DoutputDirectory=*) d=\${a#*=}; mkdir -p "$d"; touch "$d/b.jar" "$d/a.jar";; esac; done`,
  );
  // Listens on its last argument, and writes the archive at SIGTERM, as Java does.
  const java = `
    const archive = process.argv.find((a) => a.startsWith('-XX:ArchiveClassesAtExit=')).split('=')[1];
    process.on('SIGTERM', () => { require('fs').writeFileSync(archive, ''); process.exit(143); });
    require('net').createServer((s) => s.destroy()).listen(Number(process.argv.at(-1)), '127.0.0.1');`;
  await writeFile(join(folder, 'java.cjs'), java);
  await script('java', `exec ${process.execPath} ${join(folder, 'java.cjs')} "$@"`);
  const first = await find();
  expect(first).toMatchObject({ from: 'maven', command: join(bin, 'java') });
  const args = 'args' in first ? first.args.join(' ') : '';
  expect(args).toMatch(
    /-XX:SharedArchiveFile=\S+\.jsa -Xshare:auto -cp \S+a\.jar:\S+b\.jar io\.temporal\.testserver\.TestServer$/,
  );
  expect(await find()).toEqual({ ...first, from: 'cache' });
  expect((await readFile(join(folder, 'mvn-calls'), 'utf8')).trim().split('\n')).toHaveLength(1);
  expect(said.filter((text) => text.startsWith('Training'))).toHaveLength(1);
});
