import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { conformanceCases } from '../../src/providers/conformance/cases.ts';
import {
  alive,
  isRoot,
  localBench,
  run,
  startAs,
  type LocalBench,
  type TestMachine,
} from '../support/local-machines.ts';

/** Tier plain refuses root: there its process runs as the user that owns nothing. */
const uid = isRoot ? 65_534 : undefined;

describe.skipIf(!isRoot)('tier plain under root', () => {
  it('refuses', async () => {
    const bench = localBench({ tier: 'plain' });
    await expect(bench.make()).rejects.toMatchObject({
      type: 'ProviderUnavailable',
      message: /refuses to run as root/,
    });
    expect(await bench.provider.check(bench.signal())).toMatchObject({ ok: false });
    expect(await bench.remains()).toEqual([]);
    await bench.close();
  });
});

describe(`the conformance kit on local, tier plain (process of user ${uid ?? process.getuid?.()})`, () => {
  let bench: LocalBench;
  beforeAll(() => {
    bench = localBench({ idleMs: 60_000, tier: 'plain' }, undefined, uid);
  });
  beforeAll(() => startAs(bench, uid));
  afterAll(async () => {
    bench.knobs({ idleMs: 10 });
    await bench.close();
  });
  for (const { title, run: check } of conformanceCases) it(title, () => check(bench.subject()));
});

describe(`a machine of tier plain (process of user ${uid ?? process.getuid?.()})`, () => {
  let bench: LocalBench;
  beforeAll(() => {
    bench = localBench({ idleMs: 60_000, tier: 'plain' }, undefined, uid);
  });
  let machine: TestMachine;
  const out = async (command: string): Promise<string> => (await machine.ssh(command)).stdout.trim();
  beforeAll(async () => {
    await startAs(bench, uid);
    machine = await bench.make('plain.1');
  });
  afterAll(async () => {
    bench.knobs({ idleMs: 10 });
    await bench.close();
  });

  it('says its tier and what is better elsewhere', async () => {
    expect((await bench.provider.get(machine.ref, bench.signal())).facts).toMatchObject({ tier: 'plain' });
    const check = await bench.provider.check(bench.signal());
    expect(check).toMatchObject({ ok: true, summary: expect.stringContaining('tier plain') });
    expect(check.items.find(({ name }) => name === 'root')).toMatchObject({ ok: false });
  });

  it('has a home and an address of its own, as the user of the host', async () => {
    const home = join(bench.folder, 'machines', machine.ref['id'] ?? '', 'home');
    expect(await out('pwd; echo $HOME; echo $SLIPWAY_ADDRESS')).toBe([home, home, machine.access.address].join('\n'));
    expect(await out('id -un')).toBe(machine.access.user);
    expect((await machine.ssh('echo x >/etc/slipway-plain')).code).not.toBe(0);
    expect(existsSync('/etc/slipway-plain')).toBe(false);
  });

  it('takes stdin, tells exit codes, and gives a terminal', async () => {
    expect(await machine.ssh('wc -c; exit 3', 'x'.repeat(1_000_000))).toMatchObject({ code: 3, stdout: '1000000\n' });
    const tty = await run('ssh', ['-tt', ...machine.sshArgs, 'tty; exit 4']);
    expect(tty).toMatchObject({ code: 4, stdout: expect.stringMatching(/^\/dev\/pts\/\d+\r\n$/) });
  });

  it('is adopted after a kill -9 of the process, with its commands', async () => {
    await machine.ssh(
      "setsid sh -c 'echo $$ >~/pid; exec sleep 1000' >/dev/null 2>&1 </dev/null & until [ -s ~/pid ]; do sleep 0.01; done",
    );
    const pid = Number(await out('cat ~/pid'));
    await bench.kill();
    await startAs(bench, uid);
    expect(await out('kill -0 $(cat ~/pid) && echo alive')).toBe('alive');
    expect(alive(pid)).toBe(true);
  });

  it('that is destroyed leaves no process, escaped ones neither, and no folder', async () => {
    const one = await bench.make('plain.2');
    await one.ssh(
      'for n in 1 2 3; do setsid sh -c "(sleep 1000 & env -i sleep 1000 & echo \\$! >>~/pids; wait) & sleep 1000" >/dev/null 2>&1 </dev/null & done; until [ $(wc -l <~/pids) = 3 ]; do sleep 0.01; done',
    );
    const pids = (await one.ssh('cat ~/pids')).stdout.trim().split('\n').map(Number);
    expect(pids.map(alive)).toEqual([true, true, true]);
    // Of this one nothing tells whose it is, but its limits.
    await one.ssh(
      "(env -i setsid sh -c 'echo $$ >pid; exec sleep 1000' >/dev/null 2>&1 </dev/null &); until [ -s pid ]; do sleep 0.01; done",
    );
    pids.push(Number((await one.ssh('cat pid')).stdout));
    expect(alive(pids[3] ?? 0)).toBe(true);
    await bench.destroyed(one.ref);
    expect(pids.map(alive)).toEqual([false, false, false, false]);
    expect(withCookie(one.ref['id'] ?? '')).toEqual([]);
    expect(readdirSync(join(bench.folder, 'machines'))).toEqual([machine.ref['id']]);
  });
});

function withCookie(id: string): readonly string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/environ`, 'latin1').includes(`SLIPWAY_MACHINE=${id}`);
    } catch {
      return false;
    }
  });
}
