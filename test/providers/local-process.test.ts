import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolVersion } from '../../src/providers/local/protocol.ts';
import { openWire } from '../../src/providers/local/wire.ts';
import { processStart } from '../../src/host/process-identity.ts';
import { isRoot, localBench, until, type LocalBench } from '../support/local-machines.ts';

const dist = fileURLToPath(new URL('../../dist', import.meta.url));

/** As a process of another version would be: it answers `hello`, and leaves when it is asked to. */
const oldVersion = `
const { createServer } = require('node:net');
const { createInterface } = require('node:readline');
createServer((socket) => {
  createInterface({ input: socket }).on('line', (line) => {
    const { id, call } = JSON.parse(line);
    socket.write(JSON.stringify({ id, output: call === 'hello' ? { protocol: 0, pid: process.pid, startedAt: '' } : null }) + '\\n', () => {
      if (call === 'leave') process.exit(0);
    });
  });
}).listen(process.argv[1], () => console.log('listening'));
`;

describe('the process of the local provider', () => {
  let bench: LocalBench;
  beforeAll(() => {
    bench = localBench();
  });
  afterAll(() => bench.close());

  it('of another protocol version is asked to leave, and the new one takes its place', async () => {
    const one = localBench();
    const socket = join(dirname(one.folder), 'old-socket');
    const old = spawn(process.execPath, ['-e', oldVersion, socket], { stdio: ['ignore', 'pipe', 'inherit'] });
    const left = new Promise((resolve) => old.once('exit', resolve));
    await new Promise((resolve) => old.stdout.once('data', resolve));
    const run = join(dirname(one.folder), 'run');
    mkdirSync(run, { recursive: true });
    const pid = old.pid ?? 0;
    writeFileSync(join(run, 'local.json'), JSON.stringify({ pid, start: processStart(pid), protocol: 0, socket }));
    expect(await one.provider.list(one.installation, one.signal())).toEqual([]);
    expect(await left).toBe(0);
    expect(one.process()).toMatchObject({ protocol: protocolVersion });
    await one.close();
  });

  it('of an earlier build is asked to leave, and ours adopts its machines', async () => {
    const machine = await bench.make();
    await bench.kill();
    // Below the package, where it finds what it imports.
    const folder = join(dirname(dist), '.bench');
    mkdirSync(folder, { recursive: true });
    const earlier = mkdtempSync(join(folder, 'earlier-'));
    try {
      cpSync(dist, earlier, { recursive: true });
      writeFileSync(join(earlier, 'build.json'), JSON.stringify({ id: 'earlier', builtAtMs: 0 }));
      const old = spawn(process.execPath, [join(earlier, 'providers/local/main.js'), bench.folder], {
        stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
      });
      const left = new Promise((resolve) => old.once('exit', resolve));
      await until(async () => bench.process()?.pid === old.pid || undefined);
      expect(await bench.seen(machine.ref, 'running')).toMatchObject({ access: machine.access });
      expect(await left).toBe(0);
      expect(await machine.ssh('echo there')).toMatchObject({ stdout: 'there\n' });
      await bench.destroyed(machine.ref);
    } finally {
      rmSync(earlier, { recursive: true });
    }
  });

  it('that was asked to leave leaves its machines to the next one', async () => {
    const machine = await bench.make();
    const first = bench.process();
    const wire = await openWire(first?.socket ?? '');
    await wire.call('leave', {}, bench.signal());
    await wire.closed;
    expect(await bench.seen(machine.ref, 'running')).toMatchObject({ access: machine.access });
    expect(bench.process()?.pid).not.toBe(first?.pid);
    expect(await machine.ssh('echo there')).toMatchObject({ stdout: 'there\n' });
    await bench.destroyed(machine.ref);
  });

  it('is one, however many clients start it at once', async () => {
    const one = localBench();
    const clients = Array.from({ length: 6 }, () => one.again());
    await Promise.all(clients.map((client) => client.findByKey('none', one.signal())));
    const log = readFileSync(join(one.folder, 'local.log'), 'utf8').split('\n');
    expect(log.filter((line) => line.includes('"ready"'))).toHaveLength(1);
    expect(one.process()).toMatchObject({
      pid: expect.any(Number),
      startedAt: expect.any(String),
      protocol: protocolVersion,
    });
    await one.close();
  });

  it('keeps its files to its user, and no secret in its log', async () => {
    const machine = await bench.make();
    await machine.ssh('true');
    const mode = (path: string): string => (statSync(path).mode & 0o777).toString(8);
    expect(mode(bench.folder)).toBe('700');
    const folder = join(bench.folder, 'machines', machine.ref['id'] ?? '');
    expect([mode(folder), mode(join(folder, 'machine.json')), mode(join(bench.folder, 'local.log'))]).toEqual([
      '700',
      '600',
      '600',
    ]);
    const secret = bench.hostKey.privateKey.split('\n')[3] ?? '';
    expect(readFileSync(join(folder, 'machine.json'), 'utf8')).toContain(secret);
    for (const name of ['local.log', 'process.log'])
      expect(readFileSync(join(bench.folder, name), 'utf8')).not.toContain(secret);
    await bench.destroyed(machine.ref);
  });

  it('works in a state folder whose path is too long for a socket', async () => {
    const parent = mkdtempSync(join(tmpdir(), `slipway ${'long'.repeat(20)}-`));
    const one = localBench({}, parent);
    const machine = await one.make();
    expect(await machine.ssh('echo far')).toMatchObject({ stdout: 'far\n' });
    const { socket } = one.process() ?? { socket: '' };
    expect(Buffer.byteLength(socket)).toBeLessThan(100);
    expect(mode777(dirname(socket))).toBe('700');
    await one.kill();
    await one.noticed(machine.ref);
    await one.seen(machine.ref, 'running');
    expect(one.process()?.socket).toBe(socket);
    await one.close();
    expect(() => statSync(dirname(socket))).toThrow();
    rmSync(parent, { recursive: true });
  });

  it('that cannot start says why', async () => {
    const one = localBench();
    mkdirSync(join(one.folder, 'local.log'));
    await expect(one.provider.findByKey('none', one.signal())).rejects.toMatchObject({
      message: /EISDIR|directory/,
    });
    rmSync(join(one.folder, 'local.log'), { recursive: true });
    await one.close();
  });

  it('that is killed in the middle of a call is a failure to retry, and the retry finds another', async () => {
    bench.knobs({ gates: { create: 'before' } });
    const call = bench.provider
      .create('mid', bench.spec('mid'), bench.tags('mid.1', 'mid'), bench.signal())
      .catch((error: unknown) => error);
    await until(async () => (bench.process() && readdirSync(bench.folder).includes('held.json') ? true : undefined));
    await bench.kill();
    expect(await call).toMatchObject({ type: 'ProviderUnavailable' });
    bench.knobs({});
    expect(await bench.provider.findByKey('mid', bench.signal())).toBeUndefined();
  });

  it.skipIf(!isRoot)(
    'on a full disk refuses a create and leaves nothing, destroys all the same, and goes on when there is room',
    async () => {
      const disk = mkdtempSync(join(tmpdir(), 'slipway-full-'));
      execFileSync('/bin/mount', ['-t', 'tmpfs', '-o', 'size=2m', 'slipway-test', disk]);
      try {
        const one = localBench({}, disk);
        const machine = await one.make();
        const ballast = join(disk, 'ballast');
        execFileSync('sh', ['-c', 'cat /dev/zero >"$1" 2>/dev/null || :', 'sh', ballast]);
        const create = () => one.provider.create('full', one.spec('full'), one.tags('full.1', 'full'), one.signal());
        await expect(create()).rejects.toMatchObject({ type: 'ProviderUnavailable', message: /disk .* is full/ });
        await one.destroyed(machine.ref);
        expect(await one.remains()).toEqual([]);
        rmSync(ballast);
        const ref = await create();
        await one.seen(ref, 'running');
        await one.close();
      } finally {
        execFileSync('/bin/umount', ['-l', disk]);
        rmSync(disk, { recursive: true });
      }
    },
  );
});

const mode777 = (path: string): string => (statSync(path).mode & 0o777).toString(8);
