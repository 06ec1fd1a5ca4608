// Where the time-skipping test server comes from, in this order: SLIPWAY_TEST_SERVER, our cache, the SDK's own download,
// Maven (with a class-data archive, which halves the start). Needs dist/. Used by the tests and by prepare-servers.mjs.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { findOnPath, isExecutable } from '../dist/host/find-on-path.js';
import { takeLock } from '../dist/host/lock.js';
import { freePorts } from '../dist/dev/ports.js';
import { runCommand } from '../dist/dev/run-command.js';
import { downloadArchive, downloadService } from '../dist/dev/temporal-download.js';
import { serverPlatform } from '../dist/dev/temporal-cache.js';

const serverVersion = '1.38.0';
const pom = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>slipway</groupId><artifactId>test-server</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>io.temporal</groupId><artifactId>temporal-test-server</artifactId><version>${serverVersion}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`;

export async function findTestServer({ environment, say, service = downloadService }) {
  const { variables, path, cacheFolder } = environment;
  const named = variables.SLIPWAY_TEST_SERVER;
  if (named) {
    if (!isExecutable(named)) throw new Error(`SLIPWAY_TEST_SERVER names ${named}, which is not an executable file`);
    return { command: named, args: [], from: 'SLIPWAY_TEST_SERVER' };
  }
  const native = join(cacheFolder, `temporal-test-server-${serverVersion}`);
  const folder = join(cacheFolder, `temporal-test-server-${serverVersion}-jars`);
  const java = findOnPath('java', path);
  if (isExecutable(native)) return { command: native, args: [], from: 'cache' };
  if (existsSync(folder) && java !== undefined)
    return { ...(await javaServer(folder, java, environment, say)), from: 'cache' };

  await mkdir(cacheFolder, { recursive: true });
  const lock = await lockedAgainstOthers(`${native}.lock`, say);
  const why = [];
  try {
    if (isExecutable(native)) return { command: native, args: [], from: 'cache' };
    if (!existsSync(folder)) {
      say(`The tests that skip time need Temporal's test server (${serverVersion}), which is not cached.`);
      const downloaded = await download({ native, service, environment, say }).catch(
        (error) => void why.push(`download refused: ${reason(error)}`),
      );
      if (downloaded) return { command: native, args: [], from: 'download' };
      const mvn = findOnPath('mvn', path);
      if (java === undefined || mvn === undefined) why.push('Java and Maven are not both on the PATH');
      else {
        say(`${why.at(-1)}; getting it with Maven, once`);
        await fromMaven(folder, mvn, environment).catch((error) => void why.push(`Maven: ${reason(error)}`));
      }
    }
  } finally {
    await lock.release();
  }
  if (existsSync(folder) && java !== undefined)
    return { ...(await javaServer(folder, java, environment, say)), from: 'maven' };
  return { missing: `${why.join('; ')}. Name one in SLIPWAY_TEST_SERVER, or install Java and Maven.` };
}

async function lockedAgainstOthers(path, say) {
  for (let told = false; ; told = true) {
    const lock = await takeLock(path);
    if (lock.held) return lock;
    if (!told) say(`Process ${lock.by.pid} is getting the test server already: waiting for it.`);
    await pause(200);
  }
}

async function download({ native, service, environment, say }) {
  const platform = serverPlatform(process.platform, process.arch);
  // The project publishes it for amd64 only; Rosetta runs it on a Mac.
  if (platform === undefined || (platform.os === 'linux' && platform.arch !== 'amd64'))
    throw new Error('not published for this processor');
  const folder = `${native}.part`;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder);
  try {
    const unpacked = await downloadArchive({
      url: `${service}/temporal-test-server/v${serverVersion}?platform=${platform.os}&arch=amd64`,
      what: `Temporal test server ${serverVersion}`,
      folder,
      env: environment.variables,
      onProgress: ({ text, fraction }) => (fraction === 1 ? say(text) : undefined),
      signal: new AbortController().signal,
    });
    await rename(unpacked, native);
    return true;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function fromMaven(folder, mvn, environment) {
  const part = `${folder}.part`;
  await rm(part, { recursive: true, force: true });
  await mkdir(part);
  await writeFile(join(part, 'pom.xml'), pom);
  const args = [
    '-q',
    '-B',
    'dependency:copy-dependencies',
    '-DincludeScope=runtime',
    `-DoutputDirectory=${join(part, 'jars')}`,
  ];
  const end = await runCommand(mvn, args, { cwd: part, env: environment.variables });
  if (end.status !== 0)
    throw new Error(`mvn ended with ${end.status}: ${end.text.trim().split('\n').slice(-5).join('\n')}`);
  await rename(part, folder);
}

/** The archive of loaded classes holds for one Java, one class path in one order, and jars that nobody touched. */
async function javaServer(folder, java, environment, say) {
  const jars = readdirSync(join(folder, 'jars'))
    .filter((name) => name.endsWith('.jar'))
    .sort()
    .map((name) => join(folder, 'jars', name));
  const real = realpathSync(java);
  const id = createHash('sha256')
    .update(`${real} ${statSync(real).mtimeMs}`)
    .digest('hex')
    .slice(0, 12);
  const archive = join(folder, `classes-${id}.jsa`);
  const args = (share) => [
    '-XX:TieredStopAtLevel=1',
    '-XX:+UseSerialGC',
    '-Xms16m',
    '-Xmx256m',
    ...share,
    '-cp',
    jars.join(':'),
    'io.temporal.testserver.TestServer',
  ];
  if (!existsSync(archive)) await train(java, args, archive, environment, say);
  return { command: java, args: args(existsSync(archive) ? [`-XX:SharedArchiveFile=${archive}`, '-Xshare:auto'] : []) };
}

async function train(java, args, archive, environment, say) {
  const lock = await lockedAgainstOthers(`${archive}.lock`, say);
  try {
    if (existsSync(archive)) return;
    say('Training the class archive of the test server, once (about 7 s)');
    const [port] = await freePorts([undefined]);
    const child = spawn(java, [...args([`-XX:ArchiveClassesAtExit=${archive}.part`]), String(port)], {
      env: environment.variables,
      stdio: 'ignore',
    });
    const exit = once(child, 'exit');
    await untilOpen(port, () => child.exitCode === null && child.signalCode === null);
    // Only an end by SIGTERM writes the archive.
    child.kill('SIGTERM');
    await exit;
    if (existsSync(`${archive}.part`)) await rename(`${archive}.part`, archive);
    else say('This Java wrote no class archive: the test server starts more slowly.');
  } finally {
    await lock.release();
  }
}

/** Waits until somebody listens, as long as the process lives. */
export async function untilOpen(port, alive) {
  for (;;) {
    if (!alive()) throw new Error(`The test server ended before it listened on port ${port}`);
    const open = await new Promise((resolve) => {
      const socket = connect({ host: '127.0.0.1', port });
      socket.once('connect', () => resolve(socket.end()));
      socket.once('error', () => resolve(undefined));
    });
    if (open) return;
    await pause(10);
  }
}

const reason = (error) => (error.cause instanceof Error ? `${error.message} (${error.cause.message})` : error.message);
